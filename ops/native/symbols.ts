/** The library's exports: parameters and results. */
import type { NumberType, Signature } from "../../platform/foreign_library.ts";

/**
 * A letter a parameter: w an integer as wide as an address, u u32, i i32, f f32, b bool; after ">" the
 * result.
 */
const SIGNATURES = {
  sources: ">u",
  vectors: ">u",
  start_workers: "w>u",
  end_workers: "",
  allocate: "w>w",
  release: "ww",
  scratch_bytes: ">w",
  fma_peak: "uf>f",
  matmul: "uwwwwwwwwwwbbww",
  matmul_rounded: "uwwwwww",
  attention: "w",
  attention_grad: "w",
  decode: "uwwww",
  encode: "uwwww",
  unary: "uwww",
  binary: "uwwww",
  binary_i32: "uwwww",
  select: "wwwww",
  fill32: "uww",
  copy: "www",
  copy_runs: "wwww",
  transpose: "wwwwwww",
  gather_rows: "uwwwwwww",
  scatter_add_rows: "wwwwww",
  gather_last: "wwwwww",
  scatter_add_last: "wwwwww",
  first_outside: "wwui>w",
  reduce: "uwwwww",
  argmax: "wwww",
  softmax: "wwww",
  softmax_grad: "wwwww",
  cross_entropy: "wwwwfww",
  cross_entropy_grad: "wwwwfwww",
  rms_norm: "wwfwwww",
  rms_norm_grad: "wwwwwww",
  layer_norm: "wwwfwwwww",
  layer_norm_grad: "wwwwwwww",
  rope: "wwwfwwwww",
  swiglu: "wwww",
  swiglu_grad: "wwwwww",
  adamw: "wwwwwffffffffwww",
  uniform: "uuww",
  svd: "wwwwww>u",
  qr: "wwwww",
  order_statistic: "www>f",
  walsh_hadamard: "wwww",
  fastfood: "wwwwuuwww",
  fastfood_transpose: "wwwwuuwww",
  collectors: "ww>w",
} as const;

/** An export's name. */
export type Symbol = keyof typeof SIGNATURES;

const TYPES = { w: "usize", u: "u32", i: "i32", f: "f32", b: "bool" } as const;

const typeOf = (letter: string): NumberType => TYPES[letter as keyof typeof TYPES];

const halves = (name: Symbol): readonly [string, string] => {
  const [parameters = "", result = ""] = SIGNATURES[name].split(">");
  return [parameters, result];
};

const names = Object.keys(SIGNATURES) as readonly Symbol[];

/** The exports with their types. */
export const SYMBOLS: Readonly<Record<string, Signature>> = Object.fromEntries(names.map((name) => {
  const [parameters, result] = halves(name);
  const signature = {
    parameters: [...parameters].map(typeOf),
    result: result === "" ? "void" as const : typeOf(result),
  };
  // Libraries that were built before there was a front have none.
  return [name, name === "vectors" ? { ...signature, optional: true } : signature];
}));

/**
 * The exports as functions of numbers: u32 from any 32 bits, bool from 0 and 1, addresses returned as
 * numbers.
 */
export function functionsOf(
  symbols: Readonly<Record<string, unknown>>,
): Readonly<Record<Symbol, (...args: number[]) => number>> {
  return Object.fromEntries(names.map((name) => {
    const [parameters, result] = halves(name);
    const call = symbols[name] as (...args: unknown[]) => unknown;
    const given = [...parameters].map((letter) =>
      letter === "u" ? (x: number) => x >>> 0 : letter === "b" ? (x: number) => x !== 0 : undefined
    );
    const plain = given.every((convert) => convert === undefined);
    const run = plain
      ? call
      : (...args: number[]) => call(...args.map((x, i) => given[i] === undefined ? x : given[i](x)));
    return [name, result === "w" ? (...args: number[]) => Number(run(...args)) : run];
  })) as Record<Symbol, (...args: number[]) => number>;
}
