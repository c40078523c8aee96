/**
 * How products read their operands: in vectors of four along whichever axis is contiguous, decoded where they
 * are quantized, as f32 or, with `half`, as f16. A product may have an additional term, out = a · b + c · dᵀ
 * with c [m, rank] and d [n, rank]: the low-rank term of an adapted layer, which then needs no separate pass
 * over the output.
 */
import type { DType } from "../../../tensor/dtype.ts";
import { type Argument, type Element, type Kernel, range } from "../kernel.ts";
import { CODED, DECODE_ARGS, decoder } from "./decode.ts";

/** How an operand is read. `along`: its contiguous axis. `wide`: that axis is a multiple of four. */
export interface Reading {
  readonly along: "k" | "other";
  readonly wide: boolean;
  readonly dtype: DType;
}

/** The parameters for which a product kernel is generated, besides its shape. */
export interface ProductForm {
  readonly a: Reading;
  readonly b: Reading;
  /** Whether values are multiplied and summed by fours in f16; longer sums are always f32. */
  readonly half: boolean;
  /** The additional term; `wide` if its rank is a multiple of four. */
  readonly term?: { readonly wide: boolean };
}

/**
 * Sizes; widths of the contiguous axes; offsets of this part in the whole; offsets of this part's corners in
 * the bindings; the output's row and the batch's walk.
 */
const PRODUCT_ARGS: Readonly<Record<string, Argument>> = {
  ...{ m: "u32", n: "u32", k: "u32", widthA: "u32", widthB: "u32" } as const,
  ...{ fromM: "u32", fromN: "u32", fromK: "u32", firstA: "u32", firstB: "u32" } as const,
  ...{ atA: "u32", atB: "u32", atY: "u32", stride: "u32", batch: "u32" } as const,
  ...{ sizes: "u32x8", stepsA: "u32x8", stepsB: "u32x8", stepsY: "u32x8" } as const,
};

const TERM_ARGS = { rank: "u32", atC: "u32", atD: "u32" } as const;

/**
 * `fn quad_a(outer, inner)`: four elements along the contiguous axis; zeros beyond the end of k, arbitrary
 * values beyond other ends.
 */
function quad(name: "a" | "b", { along, wide, dtype }: Reading): string {
  const coded = dtype !== "f32";
  const [upper, other] = name === "a" ? ["A", "m"] : ["B", "n"];
  const one = coded ? `${name}_decoded(at)` : `${name}[at]`;
  const [outers, inners] = along === "k" ? [other, "k"] : ["k", other];
  const four = coded ? "decode4(start)" : `${name}[start >> 2u]`;
  const narrow = range(4).map((p) => `${name}_one(min(start + ${p}u, last))`).join(", ");
  const zeros = along === "k"
    ? `select(vec4<f32>(0.0), four, vec4<u32>(inner) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(args.k))`
    : `select(vec4<f32>(0.0), four, vec4<bool>(outer < args.k))`;
  const from = (axis: string) => `args.from${axis.toUpperCase()}`;
  return `
${
    coded
      ? `fn ${name}_decoded(at: u32) -> f32 {\n  let four = decode4(at & ~3u);\n  return four[at & 3u];\n}`
      : ""
  }
${wide ? "" : `fn ${name}_one(at: u32) -> f32 { return ${one}; }`}
fn quad_${name}(outer: u32, inner: u32) -> vec4<f32> {
  let line = base${upper} + (min(outer, args.${outers} - 1u) + ${from(outers)}) * args.width${upper} + ${
    from(inners)
  };
  ${
    wide
      ? `let start = line + min(inner, args.${inners} - 4u) - args.first${upper};`
      : `let start = line + inner - args.first${upper};\n  let last = line + args.${inners} - 1u - args.first${upper};`
  }
  let four = ${
    wide ? four.replace("decode4(start)", "decode4(start + args.firstB)") : `vec4<f32>(${narrow})`
  };
  if (TAIL == 1u) { return ${zeros}; }
  return four;
}
`;
}

/** `fn quad_c(outer, inner)` and `quad_d`: four elements along the rank, zeros beyond its end. */
function termQuad(name: "c" | "d", wide: boolean): string {
  const [at, lines] = name === "c" ? ["atC", "m"] : ["atD", "n"];
  const narrow = range(4).map((p) => `${name}[min(line + inner + ${p}u, line + args.rank - 1u)]`).join(", ");
  return `
fn quad_${name}(outer: u32, inner: u32) -> vec4<f32> {
  let line = args.${at} + min(outer, args.${lines} - 1u) * args.rank;
  let four = ${wide ? `${name}[(line + min(inner, args.rank - 4u)) >> 2u]` : `vec4<f32>(${narrow})`};
  return select(vec4<f32>(0.0), four, vec4<u32>(inner) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(args.rank));
}
`;
}

/** The header shared by both forms: operands, batch offsets, the store. */
export function head({ a, b, half, term }: ProductForm): Pick<Kernel, "args" | "reads" | "writes" | "code"> {
  const coded = b.dtype !== "f32";
  const plain = ({ wide }: { readonly wide: boolean }): Element => wide ? "vec4<f32>" : "f32";
  return {
    args: { ...PRODUCT_ARGS, ...coded && DECODE_ARGS, ...term && TERM_ARGS },
    reads: {
      ...{ a: plain(a), ...coded ? CODED : { b: plain(b) } },
      ...term && { c: plain(term), d: plain(term) },
    },
    writes: { y: "f32" },
    code: `${coded ? decoder(b.dtype) : ""}
alias number = ${half ? "f16" : "f32"};
override TAIL: u32;
override ACCUMULATE: u32;
override RANK: u32;
var<private> baseA: u32;
var<private> baseB: u32;
var<private> baseY: u32;
fn enter(z: u32) {
  var rest = z;
  baseA = args.atA;
  baseB = args.atB;
  baseY = args.atY;
  for (var d = 0u; d < RANK; d++) {
    let size = args.sizes[d / 4u][d % 4u];
    let c = rest % size;
    rest /= size;
    baseA += c * args.stepsA[d / 4u][d % 4u];
    baseB += c * args.stepsB[d / 4u][d % 4u];
    baseY += c * args.stepsY[d / 4u][d % 4u];
  }
}
fn store(r: u32, c: u32, sum: f32) {
  if (r >= args.m || c >= args.n) { return; }
  let at = baseY + r * args.stride + args.fromN + c;
  if (ACCUMULATE == 1u) { y[at] += sum; } else { y[at] = sum; }
}
${quad("a", a)}${quad("b", b)}${term ? termQuad("c", term.wide) + termQuad("d", term.wide) : ""}`,
  };
}

/** The operands of a loop over k: a and b up to `end`, or those of the term. */
export interface Operands {
  readonly left: "a" | "c";
  readonly right: "b" | "d";
  readonly end: string;
  readonly a: Pick<Reading, "along">;
  readonly b: Pick<Reading, "along">;
}

/** The loops of a product: one, or two with a term. */
export function loops({ a, b, term }: ProductForm): readonly Operands[] {
  const along = { along: "k" } as const;
  const second: Operands = { left: "c", right: "d", end: "args.rank", a: along, b: along };
  return [{ left: "a", right: "b", end: "args.k", a, b }, ...term ? [second] : []];
}

const readingName = ({ along, wide, dtype }: Reading): string =>
  `${along}${wide ? "4" : "1"}${dtype === "f32" ? "" : ` ${dtype}`}`;

/** The part of a kernel's name that identifies its form. */
export const productName = ({ a, b, half, term }: ProductForm): string =>
  `${readingName(a)} ${readingName(b)}${half ? " half" : ""}${term ? ` term${term.wide ? "4" : "1"}` : ""}`;
