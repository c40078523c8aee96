/**
 * The derivatives of attention. With p the softmax, recomputed from each row's log sum: dv = pᵀ g,
 * ds = p ⊙ (g vᵀ − rowsum(g ⊙ out)), dq = scale · ds k, dk = scale · dsᵀ q. An invocation of the first kernel holds a query
 * and goes over the keys; one of the second holds a key and goes over the queries of its heads, in order. Checked against
 * the reference by tests/ops/gpu_products.test.ts.
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

/** What both derivatives need of each row, [b, h, t]: its log sum, and Σ g ⊙ out. One invocation a row. */
export const statisticsKernel: Kernel = {
  name: "attentionStatistics",
  args: { n: "u32", t: "u32", h: "u32", d: "u32" },
  reads: { lse: "f32", y: "f32", g: "f32" },
  writes: { statistics: "vec2<f32>" },
  code: `
fn element(r: u32) {
  let head = (r / args.t) % args.h;
  let batch = r / (args.t * args.h);
  let at = ((batch * args.t + r % args.t) * args.h + head) * args.d;
  var sum = 0.0;
  for (var c = at; c < at + args.d; c++) { sum += y[c] * g[c]; }
  statistics[r] = vec2<f32>(lse[r], sum);
}
${EACH}`,
};

/** dq. */
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
  let row = min(i, args.t - 1u);
  let at = ((batch * args.t + row) * args.h + head) * ${form.d}u;
  let shared_head = head / (args.h / args.g);
  let known = statistics[(batch * args.h + head) * args.t + row];
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
    let key = ((batch * args.s + j) * args.g + shared_head) * ${form.d}u;
    ${registers.map((c) => `let k${c} = ${register(form, "k", "key", c)};`).join(" ")}
    let weight = exp_(${dot(form, (c) => `q${c}`, (c) => `k${c}`)} + extra - known.x);
    let slope = weight * (${dot(form, (c) => `g${c}`, (c) => register(form, "v", "key", c))} - known.y);
    ${registers.map((c) => `d${c} += slope * k${c};`).join(" ")}
  }
  if (i >= args.t) { return; }
  ${write(form, "dq", "at", (c) => `args.scale * d${c}`)}
}
`,
  };
}

/** dk and dv. */
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
  let j = min(group.x * ${form.lanes}u + lane, args.s - 1u);
  let shared_head = group.y;
  let batch = group.z;
  let key = ((batch * args.s + j) * args.g + shared_head) * ${form.d}u;
  ${
      registers.map((c) =>
        `let k${c} = args.scale * ${register(form, "k", "key", c)}; let v${c} = ${
          register(form, "v", "key", c)
        }; var dk${c} = vec4<f32>(0.0); var dv${c} = vec4<f32>(0.0);`
      ).join("\n  ")
    }
  let heads = args.h / args.g;
  // No query before the workgroup's first key sees any of its keys, unless they are always visible.
  let first_key = group.x * ${form.lanes}u;
  let causal = args.causal == 1u && first_key >= args.always;
  let first = select(0u, u32(max(0, i32(first_key) - args.offset)), causal);
  for (var head = shared_head * heads; head < (shared_head + 1u) * heads; head++) {
    for (var i = first; i < args.t; i++) {
      let extra = added(batch, head, i, j);
      let known = statistics[(batch * args.h + head) * args.t + i];
      if (is_negative_infinity(extra) || is_negative_infinity(known.x)) { continue; }
      let at = ((batch * args.t + i) * args.h + head) * ${form.d}u;
      ${registers.map((c) => `let q${c} = ${register(form, "q", "at", c)};`).join(" ")}
      ${registers.map((c) => `let g${c} = ${register(form, "g_", "at", c)};`).join(" ")}
      let weight = exp_(${dot(form, (c) => `q${c}`, (c) => `k${c}`)} + extra - known.x);
      let slope = weight * (${dot(form, (c) => `g${c}`, (c) => `v${c}`)} - known.y);
      ${registers.map((c) => `dv${c} += weight * g${c}; dk${c} += slope * q${c};`).join(" ")}
    }
  }
  if (group.x * ${form.lanes}u + lane >= args.s) { return; }
  ${write(form, "dk", "key", (c) => `args.scale * dk${c}`)}
  ${write(form, "dv", "key", (c) => `dv${c}`)}
}
`,
  };
}

/** The slope of every score, [b, h, t, s]: the derivative of the bias before it is summed over broadcast axes. */
export function biasGradKernel(form: AttentionForm): Kernel {
  return {
    name: `attentionBiasGrad ${formName(form)}`,
    args: { n: "u32", ...ATTENTION_ARGS },
    reads: { q: "f32", k: "f32", v: "f32", g_: "f32", statistics: "vec2<f32>", ...extras(form) },
    writes: { dbias: "f32" },
    code: `${scoring(form)}
fn element(e: u32) {
  let j = e % args.s;
  let r = e / args.s;
  let i = r % args.t;
  let head = (r / args.t) % args.h;
  let batch = r / (args.t * args.h);
  let extra = added(batch, head, i, j);
  let known = statistics[r];
  dbias[e] = 0.0;
  if (is_negative_infinity(extra) || is_negative_infinity(known.x)) { return; }
  let at = ((batch * args.t + i) * args.h + head) * ${form.d}u;
  let key = ((batch * args.s + j) * args.g + head / (args.h / args.g)) * ${form.d}u;
  var score = 0.0;
  var slope = 0.0;
  for (var c = 0u; c < ${form.d}u; c++) {
    score += q[at + c] * k[key + c];
    slope += g_[at + c] * v[key + c];
  }
  dbias[e] = exp_(args.scale * score + extra - known.x) * (slope - known.y);
}
${EACH}`,
  };
}

/** mask [b, s] and bias as one bias [b, ?, ?, s], −∞ where the mask hides: spares a buffer where eight is the limit. */
export const maskedBiasKernel: Kernel = {
  name: "maskedBias",
  args: { n: "u32", s: "u32", t: "u32", h: "u32", biasSteps: "u32x8" },
  reads: { mask: "f32", bias: "f32" },
  writes: { y: "f32" },
  code: `${SPECIAL}
fn element(e: u32) {
  let j = e % args.s;
  let i = (e / args.s) % args.t;
  let head = (e / (args.s * args.t)) % args.h;
  let batch = e / (args.s * args.t * args.h);
  let steps = args.biasSteps[0];
  let value = bias[batch * steps.x + head * steps.y + i * steps.z + j * steps.w];
  y[e] = select(value, -infinity(), mask[batch * args.s + j] == 0.0);
}
${EACH}`,
};
