/**
 * What a kernel is: WGSL with the head that this file writes for it. A kernel names its arguments and its buffers once;
 * the uniform struct, the bindings and the layout follow. Binding 0 holds the arguments, then come reads, then writes.
 *
 * Kernels are specialised by pipeline constants (`override`). Only what WGSL cannot say by a constant is generated text:
 * registers of an unrolled loop, and whether a buffer is seen as f32 or as vec4<f32>.
 */
import type { Ring } from "./ring.ts";

/** OptionSchemas of arguments: one word each, or eight for the sizes and strides of a walk. */
export type Argument = "u32" | "i32" | "f32" | "u32x8";

/** What the elements of a buffer are seen as. */
export type Element = "f32" | "i32" | "u32" | "vec4<f32>" | "vec4<u32>" | "vec2<f32>" | "atomic<u32>";

/** A kernel before its constants are known. */
export interface Kernel {
  /** Unique: pipelines are cached by it. */
  readonly name: string;
  readonly args: Readonly<Record<string, Argument>>;
  readonly reads: Readonly<Record<string, Element>>;
  readonly writes: Readonly<Record<string, Element>>;
  /** Functions and `main`; with `lanes` it has `fn row` instead (see `kernels/lanes.ts`). */
  readonly code: string;
  readonly lanes?: true;
}

/** Values for a kernel's arguments. */
export type Arguments = Readonly<Record<string, number | readonly number[]>>;

const typeOf = (argument: Argument): string => argument === "u32x8" ? "array<vec4<u32>, 2>" : argument;

/** Arguments in the order of the struct. */
export type Fields = readonly (readonly [name: string, kind: Argument])[];

/** A kernel's arguments; walks come first, so that all are aligned. */
export function fieldsOf(kernel: Kernel): Fields {
  return Object.entries(kernel.args).sort(([, a], [, b]) => Number(b === "u32x8") - Number(a === "u32x8"));
}

/** Words that the struct takes; it is never empty. */
export function argumentWords(fields: Fields): number {
  const words = fields.reduce((sum, [, kind]) => sum + (kind === "u32x8" ? 8 : 1), 0);
  return Math.max(4, Math.ceil(words / 4) * 4);
}

/** Writes a kernel's arguments as words from `start` on. @throws {Error} when one is missing. */
export function writeArguments(
  kernel: Kernel,
  fields: Fields,
  values: Arguments,
  { words, floats }: Pick<Ring, "words" | "floats">,
  start: number,
): void {
  let at = start;
  for (const [name, kind] of fields) {
    const value = values[name];
    if (value === undefined) throw new Error(`The kernel ${kernel.name} misses its argument ${name}`);
    if (typeof value !== "number") {
      for (let i = 0; i < 8; i++) words[at + i] = value[i] ?? 0;
      at += 8;
    } else if (kind === "f32") floats[at++] = value;
    else words[at++] = value;
  }
}

/** What all kernels of a device begin with, and what those with `lanes` end with. */
export interface Dialect {
  readonly directives: string;
  readonly lanes: string;
}

/** The whole WGSL of a kernel. */
export function wgsl(kernel: Kernel, { directives, lanes }: Dialect): string {
  const fields = fieldsOf(kernel).map(([name, kind]) => `  ${name}: ${typeOf(kind)},\n`).join("");
  const buffer = (access: string, first: number) => ([name, element]: [string, Element], i: number): string =>
    `@group(0) @binding(${first + i}) var<storage, ${access}> ${name}: array<${element}>;\n`;
  const reads = Object.entries(kernel.reads);
  return [
    directives,
    `struct Args {\n${fields || "  none: u32,\n"}}\n`,
    "@group(0) @binding(0) var<uniform> args: Args;\n",
    ...reads.map(buffer("read", 1)),
    ...Object.entries(kernel.writes).map(buffer("read_write", 1 + reads.length)),
    kernel.code,
    kernel.lanes ? lanes : "",
  ].join("");
}

/** Numbers 0 … n − 1, for the registers of generated text. */
export const range = (n: number): readonly number[] => Array.from({ length: n }, (_, i) => i);

/** Invocations of a workgroup of the kernels that have one invocation an element. */
export const EACH_LANES = 64;

/** Workgroups along the first axis of a grid; more go along the second. */
export const GRID = 65535;

/** `main` that runs `fn element(i: u32)` for i below `args.n`. */
export const EACH: string = `
@compute @workgroup_size(${EACH_LANES})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = (group.x + group.y * ${GRID}u) * ${EACH_LANES}u + lane;
  if (i < args.n) { element(i); }
}
`;

/** The grid of n workgroups, with `group.x + group.y · GRID` the index of one. */
export function grid(n: number): readonly [number, number, number] {
  return n <= GRID ? [n, 1, 1] : [GRID, Math.ceil(n / GRID), 1];
}

/** The grid of a kernel with `EACH`. */
export function each(n: number): readonly [number, number, number] {
  return grid(Math.ceil(n / EACH_LANES));
}
