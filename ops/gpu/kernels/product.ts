/**
 * Products out = a · b over the last two axes, f32 sums; b of any dtype, decoded as it is read. Both forms below read their
 * operands by fours along whichever axis is contiguous, so one microkernel serves all orientations.
 *
 * `registers`: each invocation holds rows × columns of the output and reads straight from the buffers; the lanes of a
 * workgroup stand side by side along n (or m, where n is small). For few rows, and for software adapters, where workgroup
 * memory is ordinary memory and what counts is loads a multiply-add: on two cores of llvmpipe 8 × 8 reaches 18 GFLOP/s and
 * 16 × 16 reaches 28, against 6 for the same loop over arrays and 4 for `shared`.
 *
 * `shared`: 64 invocations fill 16-deep tiles of 64 rows and 64 columns in workgroup memory (8 KiB) and hold 8 × 8 each:
 * every number read from a buffer is used 64 times.
 *
 * The unrolled registers are generated text, since WGSL has no arrays that surely stay in registers. Checked against the
 * reference by tests/ops/gpu_products.test.ts.
 */
import type { DType } from "../../../core/tensor/dtype.ts";
import { type Argument, type Element, type Kernel, range } from "../kernel.ts";
import { CODED, DECODE_ARGS, decoder } from "./decode.ts";

/** How an operand is read. `along`: its contiguous axis. `wide`: that axis is a multiple of four. */
export interface Reading {
  readonly along: "k" | "other";
  readonly wide: boolean;
  readonly dtype: DType;
}

/** What a register kernel holds: rows × columns an invocation; lanes a workgroup, side by side along m or n. */
export interface RegisterShape {
  readonly rows: number;
  readonly columns: number;
  readonly lanes: number;
  readonly along: "rows" | "columns";
}

/** Sizes; widths of the contiguous axes; offsets of this part in the whole; the output's row and the batch's walk. */
const PRODUCT_ARGS: Readonly<Record<string, Argument>> = {
  ...{ m: "u32", n: "u32", k: "u32", widthA: "u32", widthB: "u32" } as const,
  ...{ fromM: "u32", fromN: "u32", fromK: "u32", firstA: "u32", firstB: "u32" } as const,
  ...{ stride: "u32", batch: "u32", sizes: "u32x8", stepsA: "u32x8", stepsB: "u32x8" } as const,
};

const LETTERS = "xyzw";

/** `fn quad_a(outer, inner)`: four elements along the contiguous axis; beyond the end of k zeros, elsewhere any numbers. */
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

/** The head that both forms share: operands, batch offsets, the store. */
function head(a: Reading, b: Reading): Pick<Kernel, "args" | "reads" | "writes" | "code"> {
  const coded = b.dtype !== "f32";
  const plain = ({ wide }: Reading): Element => wide ? "vec4<f32>" : "f32";
  return {
    args: { ...PRODUCT_ARGS, ...coded && DECODE_ARGS },
    reads: { a: plain(a), ...coded ? CODED : { b: plain(b) } },
    writes: { y: "f32" },
    code: `${coded ? decoder(b.dtype) : ""}
override TAIL: u32;
override ACCUMULATE: u32;
override RANK: u32;
var<private> baseA: u32;
var<private> baseB: u32;
fn enter(z: u32) {
  var rest = z;
  for (var d = 0u; d < RANK; d++) {
    let size = args.sizes[d / 4u][d % 4u];
    let c = rest % size;
    rest /= size;
    baseA += c * args.stepsA[d / 4u][d % 4u];
    baseB += c * args.stepsB[d / 4u][d % 4u];
  }
}
fn store(z: u32, r: u32, c: u32, sum: f32) {
  if (r >= args.m || c >= args.n) { return; }
  let at = (z * args.m + r) * args.stride + args.fromN + c;
  if (ACCUMULATE == 1u) { y[at] += sum; } else { y[at] = sum; }
}
${quad("a", a)}${quad("b", b)}`,
  };
}

/** Loads of `count` lines of an operand for four steps of k, and the name of element (i, p). */
function fragment(
  name: "a" | "b",
  { along }: Reading,
  count: number,
  first: string,
): { readonly loads: string; element(i: number, p: number): string } {
  if (along === "k") {
    return {
      loads: range(count).map((i) => `let ${name}${i} = quad_${name}(${first} + ${i}u, k);`).join("\n    "),
      element: (i, p) => `${name}${i}.${LETTERS[p]}`,
    };
  }
  const fours = range(Math.ceil(count / 4));
  return {
    loads: range(4).flatMap((p) =>
      fours.map((f) => `let ${name}${p}_${f} = quad_${name}(k + ${p}u, ${first} + ${4 * f}u);`)
    ).join("\n    "),
    element: (i, p) => `${name}${p}_${i >> 2}.${LETTERS[i & 3]}`,
  };
}

const readingName = ({ along, wide, dtype }: Reading): string =>
  `${along}${wide ? "4" : "1"}${dtype === "f32" ? "" : ` ${dtype}`}`;

/** A kernel that holds rows × columns in registers. */
export function registerProduct(
  a: Reading,
  b: Reading,
  { rows, columns, lanes, along }: RegisterShape,
): Kernel {
  const shared = head(a, b);
  const [left, right] = [fragment("a", a, rows, "r0"), fragment("b", b, columns, "c0")];
  const cells = range(rows * columns).map((x) => ({ x, i: Math.floor(x / columns), j: x % columns }));
  return {
    ...shared,
    name: `registers ${rows}x${columns}x${lanes} ${along} ${readingName(a)} ${readingName(b)}`,
    code: `${shared.code}
@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let z = group.z + args.batch;
  enter(z);
  let r0 = ${along === "rows" ? `(group.y * ${lanes}u + lane)` : "group.y"} * ${rows}u;
  let c0 = ${along === "columns" ? `(group.x * ${lanes}u + lane)` : "group.x"} * ${columns}u;
  ${cells.map(({ x }) => `var s${x} = 0.0;`).join(" ")}
  for (var k = 0u; k < args.k; k += 4u) {
    ${left.loads}
    ${right.loads}
    ${
      cells.map(({ x, i, j }) => {
        const sum = range(4).reduce(
          (s, p) => `fma(${left.element(i, p)}, ${right.element(j, p)}, ${s})`,
          `s${x}`,
        );
        return `s${x} = ${sum};`;
      }).join("\n    ")
    }
  }
  ${cells.map(({ x, i, j }) => `store(z, r0 + ${i}u, c0 + ${j}u, s${x});`).join("\n  ")}
}
`,
  };
}

/** Rows and columns of a shared tile, and its depth. */
export const TILE = 64;
const DEPTH = 16;

/** Fills a tile [DEPTH][TILE]: four quads an invocation. */
function fill(name: "a" | "b", { along }: Reading): string {
  const [tile, first] = name === "a" ? ["tileA", "r0"] : ["tileB", "c0"];
  return along === "k"
    ? `{
        let line = q / ${DEPTH / 4}u;
        let depth = (q % ${DEPTH / 4}u) * 4u;
        let four = quad_${name}(${first} + line, k + depth);
        for (var p = 0u; p < 4u; p++) { ${tile}[(depth + p) * ${TILE}u + line] = four[p]; }
      }`
    : `{
        let depth = q / ${TILE / 4}u;
        let line = (q % ${TILE / 4}u) * 4u;
        let four = quad_${name}(k + depth, ${first} + line);
        for (var p = 0u; p < 4u; p++) { ${tile}[depth * ${TILE}u + line + p] = four[p]; }
      }`;
}

/** A kernel that shares tiles through workgroup memory; `TAIL` must be 1 unless k is a multiple of 16. */
export function sharedProduct(a: Reading, b: Reading): Kernel {
  const shared = head(a, b);
  const cells = range(64).map((x) => ({ x, i: x >> 3, j: x & 7 }));
  return {
    ...shared,
    name: `shared ${readingName(a)} ${readingName(b)}`,
    code: `${shared.code}
var<workgroup> tileA: array<f32, ${TILE * DEPTH}>;
var<workgroup> tileB: array<f32, ${TILE * DEPTH}>;
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let z = group.z + args.batch;
  enter(z);
  let r0 = group.y * ${TILE}u;
  let c0 = group.x * ${TILE}u;
  let ra = (lane / 8u) * 8u;
  let cb = (lane % 8u) * 8u;
  ${cells.map(({ x }) => `var s${x} = 0.0;`).join(" ")}
  for (var k = 0u; k < args.k; k += ${DEPTH}u) {
    for (var q = lane; q < ${TILE * DEPTH / 4}u; q += 64u) {
      ${fill("a", a)}
      ${fill("b", b)}
    }
    workgroupBarrier();
    for (var p = 0u; p < ${DEPTH}u; p++) {
      ${range(8).map((i) => `let a${i} = tileA[p * ${TILE}u + ra + ${i}u];`).join(" ")}
      ${range(8).map((j) => `let b${j} = tileB[p * ${TILE}u + cb + ${j}u];`).join(" ")}
      ${cells.map(({ x, i, j }) => `s${x} = fma(a${i}, b${j}, s${x});`).join(" ")}
    }
    workgroupBarrier();
  }
  ${cells.map(({ x, i, j }) => `store(z, r0 + ra + ${i}u, c0 + cb + ${j}u, s${x});`).join("\n  ")}
}
`,
  };
}
