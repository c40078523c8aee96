/**
 * Attention: out = softmax(scale · q kᵀ + bias, masked) v, without storing the scores. An invocation holds
 * one query and its sums in registers and visits the keys once, rescaling when a larger score occurs (arXiv
 * 2205.14135); the lanes of a workgroup are adjacent queries of one head, so they read the same key at the
 * same time.
 *
 * Widths are known when a kernel is generated: d/4 registers of four for each vector. Checked against the reference by
 * tests/ops/gpu/products.test.ts.
 */
import { type Argument, type Element, type Kernel, range } from "../kernel.ts";
import { EXP_LOG, SPECIAL } from "./math.ts";

/** The parameters for which a kernel is generated. */
export interface AttentionForm {
  /** Width of a head. */
  readonly d: number;
  /** Whether there is a mask [b, s], or a bias. */
  readonly mask: boolean;
  readonly bias: boolean;
  readonly lanes: number;
}

/**
 * Sizes, options, and the bias' strides. A call computes a box of heads, queries and keys: `nh`, `nt`, `ns`
 * of them from `fromH`, `fromT`, `fromS` on (group.z counts its batch items); `at…` is the offset of its
 * corner in a binding, in elements.
 */
export const ATTENTION_ARGS: Readonly<Record<string, Argument>> = {
  ...{ t: "u32", s: "u32", h: "u32", g: "u32", scale: "f32" } as const,
  ...{ causal: "u32", offset: "i32", window: "i32", always: "u32", biasSteps: "u32x8" } as const,
  ...{ nh: "u32", nt: "u32", ns: "u32", fromH: "u32", fromT: "u32", fromS: "u32" } as const,
  ...{ atQ: "u32", atK: "u32", atRow: "u32", atMask: "u32", atBias: "u32" } as const,
};

/** Registers of four that hold a head's vector. */
export const fours = ({ d }: AttentionForm): number => Math.ceil(d / 4);

/** The element type by which q, k, v and similar are accessed. */
export const elementOf = ({ d }: AttentionForm): Element => d % 4 === 0 ? "vec4<f32>" : "f32";

/** An expression: register c of the vector that starts at element `at` of a buffer. */
export function register({ d }: AttentionForm, buffer: string, at: string, c: number): string {
  if (d % 4 === 0) return `${buffer}[${at} / 4u + ${c}u]`;
  const parts = range(4).map((p) => 4 * c + p < d ? `${buffer}[${at} + ${4 * c + p}u]` : "0.0");
  return `vec4<f32>(${parts.join(", ")})`;
}

/** Statements that write registers `name`0 … to the vector that starts at element `at`. */
export function write(form: AttentionForm, buffer: string, at: string, value: (c: number) => string): string {
  if (form.d % 4 === 0) {
    return range(fours(form)).map((c) => `${buffer}[${at} / 4u + ${c}u] = ${value(c)};`).join("\n  ");
  }
  return range(form.d).map((e) => `${buffer}[${at} + ${e}u] = (${value(e >> 2)}).${"xyzw"[e & 3]};`).join(
    "\n  ",
  );
}

/** Σ over registers of dot(left, right). */
export function dot(form: AttentionForm, left: (c: number) => string, right: (c: number) => string): string {
  return range(fours(form)).map((c) => `dot(${left(c)}, ${right(c)})`).join(" + ");
}

/**
 * Which keys a query sees, and what is added to its scores. Hidden keys score −∞. All indices are relative to
 * the box.
 */
export function scoring({ d, mask, bias }: AttentionForm): string {
  return `${SPECIAL}${EXP_LOG}
override LATER: u32 = 0u;
fn query_at(batch: u32, head: u32, i: u32) -> u32 {
  return args.atQ + ((batch * args.t + i) * args.h + args.fromH + head) * ${d}u;
}
fn key_at(batch: u32, group: u32, j: u32) -> u32 {
  return args.atK + ((batch * args.s + j) * args.g + group) * ${d}u;
}
fn row_at(batch: u32, head: u32, i: u32) -> u32 { return args.atRow + (batch * args.h + head) * args.t + i; }
fn visible(i: u32, j: u32) -> bool {
  let behind = i32(args.fromT + i) + args.offset - i32(args.fromS + j);
  if (args.fromS + j < args.always) { return true; }
  if (args.causal == 1u && behind < 0) { return false; }
  return args.window == 0 || behind <= args.window;
}
fn added(batch: u32, head: u32, i: u32, j: u32) -> f32 {
  if (!visible(i, j)) { return -infinity(); }
  ${mask ? "if (mask[args.atMask + batch * args.s + j] == 0.0) { return -infinity(); }" : ""}
  ${
    bias
      ? `let steps = args.biasSteps[0];
  return bias[args.atBias + batch * steps.x + head * steps.y + i * steps.z + j * steps.w];`
      : "return 0.0;"
  }
}
`;
}

/** Buffers of a mask and a bias, where there are any. */
export const extras = ({ mask, bias }: AttentionForm): Readonly<Record<string, Element>> => ({
  ...mask && { mask: "f32" as const },
  ...bias && { bias: "f32" as const },
});

/** The part of a kernel's name that identifies its form. */
export const formName = ({ d, mask, bias, lanes }: AttentionForm): string =>
  `${d}x${lanes}${mask ? " masked" : ""}${bias ? " biased" : ""}`;

/** Keys of the box that some query of the workgroup may see: 0 … end − 1. */
export const KEYS_END = `
fn keys_end(last: u32) -> u32 {
  if (args.causal == 0u) { return args.ns; }
  let end = max(i32(args.fromT + last) + args.offset + 1, i32(args.always)) - i32(args.fromS);
  return u32(clamp(end, 0, i32(args.ns)));
}
`;

/**
 * The forward pass; lse is the log of each row's sum, −∞ where no key is seen. With LATER = 1 it continues
 * from the output and the log sums of earlier keys.
 */
export function attentionKernel(form: AttentionForm): Kernel {
  const element = elementOf(form);
  const registers = range(fours(form));
  return {
    name: `attention ${formName(form)}`,
    args: ATTENTION_ARGS,
    reads: { q: element, k: element, v: element, ...extras(form) },
    writes: { y: element, lse: "f32" },
    code: `${scoring(form)}${KEYS_END}
@compute @workgroup_size(${form.lanes})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = group.x * ${form.lanes}u + lane;
  let head = group.y;
  let batch = group.z;
  let row = min(i, args.nt - 1u);
  let at = query_at(batch, head, row);
  let shared_head = (args.fromH + head) / (args.h / args.g);
  let place = row_at(batch, head, row);
  var most = -infinity();
  var sum = 0.0;
  ${
      registers.map((c) =>
        `let q${c} = args.scale * ${register(form, "q", "at", c)}; var o${c} = vec4<f32>(0.0);`
      ).join("\n  ")
    }
  if (LATER == 1u) {
    most = lse[place];
    sum = select(1.0, 0.0, is_negative_infinity(most));
    ${registers.map((c) => `o${c} = ${register(form, "y", "at", c)};`).join("\n    ")}
  }
  let end = keys_end(group.x * ${form.lanes}u + ${form.lanes - 1}u);
  for (var j = 0u; j < end; j++) {
    let extra = added(batch, head, row, j);
    if (is_negative_infinity(extra)) { continue; }
    let key = key_at(batch, shared_head, j);
    let score = ${dot(form, (c) => `q${c}`, (c) => register(form, "k", "key", c))} + extra;
    if (is_negative_infinity(score)) { continue; }
    let larger_ = select(most, score, score > most);
    let shrink = exp_(most - larger_);
    let weight = exp_(score - larger_);
    most = larger_;
    sum = sum * shrink + weight;
    ${
      registers.map((c) => `o${c} = o${c} * shrink + weight * ${register(form, "v", "key", c)};`).join(
        "\n    ",
      )
    }
  }
  if (i >= args.nt) { return; }
  let inverse = select(1.0 / sum, 0.0, sum == 0.0);
  ${write(form, "y", "at", (c) => `o${c} * inverse`)}
  lse[place] = select(most + log_(sum), -infinity(), sum == 0.0);
}
`,
  };
}
