/**
 * The derivatives of attention. With p the softmax, recomputed from each row's log sum: dv = pᵀ g, ds = p ⊙
 * (g vᵀ − rowsum(g ⊙ out)), dq = scale · ds k, dk = scale · dsᵀ q. An invocation of the first kernel holds a
 * query and loops over the keys; one of the second holds a key and loops over the queries of its heads, in
 * order. Checked against the reference by tests/ops/gpu/products.test.ts.
 */
import { EACH, type Kernel, range } from "../kernel.ts";
import {
  ATTENTION_ARGS,
  type AttentionForm,
  dot,
  elementOf,
  extras,
  formName,
  fours,
  KEYS_END,
  register,
  scoring,
  write,
} from "./attention.ts";
import { SPECIAL } from "./math.ts";

/**
 * Statistics of each row that both derivatives need, [b, h, t]: its log sum, and Σ g ⊙ out. One invocation
 * per row of a box.
 */
export const statisticsKernel: Kernel = {
  name: "attentionStatistics",
  args: {
    ...{ n: "u32", t: "u32", h: "u32", d: "u32", nh: "u32", nt: "u32", fromH: "u32" } as const,
    ...{ atQ: "u32", atRow: "u32", atStatistics: "u32" } as const,
  },
  reads: { lse: "f32", y: "f32", g: "f32" },
  writes: { statistics: "vec2<f32>" },
  code: `
fn element(e: u32) {
  let i = e % args.nt;
  let head = (e / args.nt) % args.nh;
  let batch = e / (args.nt * args.nh);
  let at = args.atQ + ((batch * args.t + i) * args.h + args.fromH + head) * args.d;
  let row = (batch * args.h + head) * args.t + i;
  var sum = 0.0;
  for (var c = at; c < at + args.d; c++) { sum += y[c] * g[c]; }
  statistics[args.atStatistics + row] = vec2<f32>(lse[args.atRow + row], sum);
}
${EACH}`,
};

/** Registers `name`_0 … with a target's previous values: zeros unless LATER = 1. */
const before = (form: AttentionForm, name: string, at: string): string =>
  range(fours(form)).map((c) =>
    `var ${name}_${c} = vec4<f32>(0.0); if (LATER == 1u) { ${name}_${c} = ${register(form, name, at, c)}; }`
  ).join("\n  ");

/** dq; with LATER = 1 added to that of earlier keys. */
export function queryGradKernel(form: AttentionForm): Kernel {
  const element = elementOf(form);
  const registers = range(fours(form));
  return {
    name: `attentionQueryGrad ${formName(form)}`,
    args: ATTENTION_ARGS,
    reads: { q: element, k: element, v: element, g_: element, statistics: "vec2<f32>", ...extras(form) },
    writes: { dq: element },
    code: `${scoring(form)}${KEYS_END}
@compute @workgroup_size(${form.lanes})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = group.x * ${form.lanes}u + lane;
  let head = group.y;
  let batch = group.z;
  let row = min(i, args.nt - 1u);
  let at = query_at(batch, head, row);
  let shared_head = (args.fromH + head) / (args.h / args.g);
  let known = statistics[row_at(batch, head, row)];
  ${
      registers.map((c) =>
        `let q${c} = args.scale * ${register(form, "q", "at", c)}; let g${c} = ${
          register(form, "g_", "at", c)
        }; var d${c} = vec4<f32>(0.0);`
      ).join("\n  ")
    }
  let end = keys_end(group.x * ${form.lanes}u + ${form.lanes - 1}u);
  for (var j = 0u; j < end; j++) {
    let extra = added(batch, head, row, j);
    if (is_negative_infinity(extra)) { continue; }
    let key = key_at(batch, shared_head, j);
    ${registers.map((c) => `let k${c} = ${register(form, "k", "key", c)};`).join(" ")}
    let weight = exp_(${dot(form, (c) => `q${c}`, (c) => `k${c}`)} + extra - known.x);
    let slope = weight * (${dot(form, (c) => `g${c}`, (c) => register(form, "v", "key", c))} - known.y);
    ${registers.map((c) => `d${c} += slope * k${c};`).join(" ")}
  }
  if (i >= args.nt) { return; }
  ${before(form, "dq", "at")}
  ${write(form, "dq", "at", (c) => `dq_${c} + args.scale * d${c}`)}
}
`,
  };
}

/** dk and dv; with LATER = 1 added to those of earlier queries or heads. */
export function keyGradKernel(form: AttentionForm): Kernel {
  const element = elementOf(form);
  const registers = range(fours(form));
  return {
    name: `attentionKeyGrad ${formName(form)}`,
    args: ATTENTION_ARGS,
    reads: { q: element, k: element, v: element, g_: element, statistics: "vec2<f32>", ...extras(form) },
    writes: { dk: element, dv: element },
    code: `${scoring(form)}
@compute @workgroup_size(${form.lanes})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let j = min(group.x * ${form.lanes}u + lane, args.ns - 1u);
  let shared_head = group.y;
  let batch = group.z;
  let key = key_at(batch, shared_head, j);
  ${
      registers.map((c) =>
        `let k${c} = args.scale * ${register(form, "k", "key", c)}; let v${c} = ${
          register(form, "v", "key", c)
        }; var dk${c} = vec4<f32>(0.0); var dv${c} = vec4<f32>(0.0);`
      ).join("\n  ")
    }
  // The group's heads that lie in the box.
  let heads = args.h / args.g;
  let low = max(shared_head * heads, args.fromH);
  let high = min((shared_head + 1u) * heads, args.fromH + args.nh);
  // No query before the workgroup's first key sees any of its keys, unless they are always visible.
  let first_key = args.fromS + group.x * ${form.lanes}u;
  let causal = args.causal == 1u && first_key >= args.always;
  let first = select(0u, u32(max(0, i32(first_key) - args.offset - i32(args.fromT))), causal);
  for (var of_all = low; of_all < high; of_all++) {
    let head = of_all - args.fromH;
    for (var i = first; i < args.nt; i++) {
      let extra = added(batch, head, i, j);
      let known = statistics[row_at(batch, head, i)];
      if (is_negative_infinity(extra) || is_negative_infinity(known.x)) { continue; }
      let at = query_at(batch, head, i);
      ${registers.map((c) => `let q${c} = ${register(form, "q", "at", c)};`).join(" ")}
      ${registers.map((c) => `let g${c} = ${register(form, "g_", "at", c)};`).join(" ")}
      let weight = exp_(${dot(form, (c) => `q${c}`, (c) => `k${c}`)} + extra - known.x);
      let slope = weight * (${dot(form, (c) => `g${c}`, (c) => `v${c}`)} - known.y);
      ${registers.map((c) => `dv${c} += weight * g${c}; dk${c} += slope * q${c};`).join(" ")}
    }
  }
  if (group.x * ${form.lanes}u + lane >= args.ns) { return; }
  ${before(form, "dk", "key")}
  ${before(form, "dv", "key")}
  ${write(form, "dk", "key", (c) => `dk_${c} + args.scale * dk${c}`)}
  ${write(form, "dv", "key", (c) => `dv_${c} + dv${c}`)}
}
`,
  };
}

/**
 * The gradient of every score, [b, h, t, s]: the derivative of the bias before summation over broadcast axes.
 */
export function biasGradKernel(form: AttentionForm): Kernel {
  return {
    name: `attentionBiasGrad ${formName(form)}`,
    args: { n: "u32", atSlope: "u32", ...ATTENTION_ARGS },
    reads: { q: "f32", k: "f32", v: "f32", g_: "f32", statistics: "vec2<f32>", ...extras(form) },
    writes: { dbias: "f32" },
    code: `${scoring(form)}
fn element(e: u32) {
  let j = e % args.ns;
  let i = (e / args.ns) % args.nt;
  let head = (e / (args.ns * args.nt)) % args.nh;
  let batch = e / (args.ns * args.nt * args.nh);
  let extra = added(batch, head, i, j);
  let known = statistics[row_at(batch, head, i)];
  let to = args.atSlope + ((batch * args.h + head) * args.t + i) * args.s + j;
  dbias[to] = 0.0;
  if (is_negative_infinity(extra) || is_negative_infinity(known.x)) { return; }
  let at = query_at(batch, head, i);
  let key = key_at(batch, (args.fromH + head) / (args.h / args.g), j);
  var score = 0.0;
  var slope = 0.0;
  for (var c = 0u; c < ${form.d}u; c++) {
    score += q[at + c] * k[key + c];
    slope += g_[at + c] * v[key + c];
  }
  dbias[to] = exp_(args.scale * score + extra - known.x) * (slope - known.y);
}
${EACH}`,
  };
}

/**
 * mask [b, s] and bias as one bias [b, ?, ?, s], −∞ where the mask hides: saves a buffer, since eight is the
 * limit.
 */
export const maskedBiasKernel: Kernel = {
  name: "maskedBias",
  args: {
    ...{ n: "u32", nh: "u32", nt: "u32", ns: "u32", biasSteps: "u32x8", steps: "u32x8" } as const,
    ...{ maskStep: "u32", atMask: "u32", atBias: "u32", atY: "u32" } as const,
  },
  reads: { mask: "f32", bias: "f32" },
  writes: { y: "f32" },
  code: `${SPECIAL}
fn element(e: u32) {
  let j = e % args.ns;
  let i = (e / args.ns) % args.nt;
  let head = (e / (args.ns * args.nt)) % args.nh;
  let batch = e / (args.ns * args.nt * args.nh);
  let at = vec4<u32>(batch, head, i, j);
  let value = bias[args.atBias + dot(at, args.biasSteps[0])];
  let hidden = mask[args.atMask + batch * args.maskStep + j] == 0.0;
  y[args.atY + dot(at, args.steps[0])] = select(value, -infinity(), hidden);
}
${EACH}`,
};
