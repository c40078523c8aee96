/**
 * Products out = a · b over the last two axes with f32 sums; b of any dtype, decoded as it is read
 * (`product_operands.ts`). Both forms below read their operands in vectors of four, so one microkernel serves
 * all orientations.
 *
 * `registers`: each invocation holds rows × columns of the output and reads directly from the buffers; the
 * lanes of a workgroup are adjacent along n (or m, where n is small). Used for few rows, and for software
 * adapters, where workgroup memory is ordinary memory and the number of loads per multiply-add matters: on
 * two cores of llvmpipe 8 × 8 reaches 18 GFLOP/s and 16 × 16 reaches 28, against 6 for the same loop over
 * arrays and 4 for `shared`.
 *
 * `shared`: 64 invocations fill 16-deep tiles of 64 rows and 64 columns in workgroup memory (8 KiB) and hold
 * 8 × 8 each: every value read from a buffer is used 64 times.
 *
 * The unrolled registers are generated text, since WGSL has no arrays that are guaranteed to stay in
 * registers. Checked against the reference by tests/ops/gpu/products.test.ts.
 */
import { type Kernel, range } from "../kernel.ts";
import { head, loops, type Operands, type ProductForm, productName } from "./product_operands.ts";

/** Shape of a register kernel: rows × columns per invocation; lanes per workgroup, adjacent along m or n. */
export interface RegisterShape {
  readonly rows: number;
  readonly columns: number;
  readonly lanes: number;
  readonly along: "rows" | "columns";
}

const LETTERS = "xyzw";

/** Loads of `count` lines of an operand for four steps of k, and the name of element (i, p). */
function fragment(
  name: string,
  { along }: Operands["a"],
  count: number,
  first: string,
): { readonly loads: string; element(i: number, p: number): string } {
  const read = (outer: string, inner: string): string => `vec4<number>(quad_${name}(${outer}, ${inner}))`;
  if (along === "k") {
    return {
      loads: range(count).map((i) => `let ${name}_${i} = ${read(`${first} + ${i}u`, "k")};`).join("\n    "),
      element: (i, p) => `${name}_${i}.${LETTERS[p]}`,
    };
  }
  const fours = range(Math.ceil(count / 4));
  return {
    loads: range(4).flatMap((p) =>
      fours.map((f) => `let ${name}_${p}_${f} = ${read(`k + ${p}u`, `${first} + ${4 * f}u`)};`)
    ).join("\n    "),
    element: (i, p) => `${name}_${p}_${i >> 2}.${LETTERS[i & 3]}`,
  };
}

/** A sum and four products: added one after another, or in f16 first summed to one value that is added. */
function joined(
  half: boolean,
  sum: string,
  left: (p: number) => string,
  right: (p: number) => string,
): string {
  if (!half) return range(4).reduce((s, p) => `fma(${left(p)}, ${right(p)}, ${s})`, sum);
  const four = range(3).reduce(
    (s, p) => `fma(${left(p + 1)}, ${right(p + 1)}, ${s})`,
    `${left(0)} * ${right(0)}`,
  );
  return `${sum} + f32(${four})`;
}

/** A kernel that holds rows × columns in registers. */
export function registerProduct(form: ProductForm, { rows, columns, lanes, along }: RegisterShape): Kernel {
  const shared = head(form);
  const cells = range(rows * columns).map((x) => ({ x, i: Math.floor(x / columns), j: x % columns }));
  const loop = (operands: Operands): string => {
    const left = fragment(operands.left, operands.a, rows, "r0");
    const right = fragment(operands.right, operands.b, columns, "c0");
    return `for (var k = 0u; k < ${operands.end}; k += 4u) {
    ${left.loads}
    ${right.loads}
    ${
      cells.map(({ x, i, j }) =>
        `s${x} = ${joined(form.half, `s${x}`, (p) => left.element(i, p), (p) => right.element(j, p))};`
      ).join("\n    ")
    }
  }`;
  };
  return {
    ...shared,
    name: `registers ${rows}x${columns}x${lanes} ${along} ${productName(form)}`,
    code: `${shared.code}
@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  enter(group.z + args.batch);
  let r0 = ${along === "rows" ? `(group.y * ${lanes}u + lane)` : "group.y"} * ${rows}u;
  let c0 = ${along === "columns" ? `(group.x * ${lanes}u + lane)` : "group.x"} * ${columns}u;
  ${cells.map(({ x }) => `var s${x} = 0.0;`).join(" ")}
  ${loops(form).map(loop).join("\n  ")}
  ${cells.map(({ x, i, j }) => `store(r0 + ${i}u, c0 + ${j}u, s${x});`).join("\n  ")}
}
`,
  };
}

/** Rows and columns of a shared tile, and its depth. */
export const TILE = 64;
const DEPTH = 16;

/** Fills a tile [DEPTH][TILE]: four quads per invocation. */
function fill(name: string, { along }: Operands["a"], tile: string, first: string): string {
  return along === "k"
    ? `{
        let line = q / ${DEPTH / 4}u;
        let depth = (q % ${DEPTH / 4}u) * 4u;
        let four = vec4<number>(quad_${name}(${first} + line, k + depth));
        for (var p = 0u; p < 4u; p++) { ${tile}[(depth + p) * ${TILE}u + line] = four[p]; }
      }`
    : `{
        let depth = q / ${TILE / 4}u;
        let line = (q % ${TILE / 4}u) * 4u;
        let four = vec4<number>(quad_${name}(k + depth, ${first} + line));
        for (var p = 0u; p < 4u; p++) { ${tile}[depth * ${TILE}u + line + p] = four[p]; }
      }`;
}

/** A kernel that shares tiles through workgroup memory; `TAIL` must be 1 unless k is a multiple of 16. */
export function sharedProduct(form: ProductForm): Kernel {
  const shared = head(form);
  const cells = range(64).map((x) => ({ x, i: x >> 3, j: x & 7 }));
  // Four steps at a time where four products are summed in f16.
  const steps = form.half ? 4 : 1;
  const line = (tile: string, first: string, name: string): string =>
    range(8).flatMap((i) =>
      range(steps).map((p) => `let ${name}${i}_${p} = ${tile}[(p + ${p}u) * ${TILE}u + ${first} + ${i}u];`)
    ).join(" ");
  const sum = ({ x, i, j }: { readonly x: number; readonly i: number; readonly j: number }): string =>
    form.half
      ? `s${x} = ${joined(true, `s${x}`, (p) => `a${i}_${p}`, (p) => `b${j}_${p}`)};`
      : `s${x} = fma(a${i}_0, b${j}_0, s${x});`;
  const loop = ({ left, right, end, a, b }: Operands): string =>
    `for (var k = 0u; k < ${end}; k += ${DEPTH}u) {
    for (var q = lane; q < ${TILE * DEPTH / 4}u; q += 64u) {
      ${fill(left, a, "tileA", "r0")}
      ${fill(right, b, "tileB", "c0")}
    }
    workgroupBarrier();
    for (var p = 0u; p < ${DEPTH}u; p += ${steps}u) {
      ${line("tileA", "ra", "a")}
      ${line("tileB", "cb", "b")}
      ${cells.map(sum).join(" ")}
    }
    workgroupBarrier();
  }`;
  return {
    ...shared,
    name: `shared ${productName(form)}`,
    code: `${shared.code}
var<workgroup> tileA: array<number, ${TILE * DEPTH}>;
var<workgroup> tileB: array<number, ${TILE * DEPTH}>;
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  enter(group.z + args.batch);
  let r0 = group.y * ${TILE}u;
  let c0 = group.x * ${TILE}u;
  let ra = (lane / 8u) * 8u;
  let cb = (lane % 8u) * 8u;
  ${cells.map(({ x }) => `var s${x} = 0.0;`).join(" ")}
  ${loops(form).map(loop).join("\n  ")}
  ${cells.map(({ x, i, j }) => `store(r0 + ra + ${i}u, c0 + cb + ${j}u, s${x});`).join("\n  ")}
}
`,
  };
}
