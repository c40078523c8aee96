/** Scaled dot-product attention and rotary positions. */
import {
  type AttentionOptions,
  defineKernel,
  defineOp,
  type Kernel,
  type Op,
  type Shape,
  showShape,
  type Tensor,
} from "../tensor/mod.ts";
import { sumTo } from "./broadcast.ts";
import { rangeError } from "../errors/error.ts";

interface Present {
  readonly options: AttentionOptions;
  readonly mask: boolean;
  readonly bias: boolean;
}

const optional = (inputs: readonly Tensor[], { mask, bias }: Present) => ({
  mask: mask ? inputs[3] : undefined,
  bias: bias ? inputs[mask ? 4 : 3] : undefined,
});

const attentionOp: Op<Present> = defineOp({
  name: "attention",
  shape: ([q, k, v]) => {
    const [b, t, h, d] = q!.shape;
    const [kb, , g, kd] = k!.shape;
    if (b !== kb || d !== kd || h! % g! !== 0 || k!.shape[1] !== v!.shape[1] || g !== v!.shape[2]) {
      throw rangeError(
        "INVALID_TENSOR",
        `Cannot attend with q ${showShape(q!.shape)}, k ${showShape(k!.shape)}, v ${showShape(v!.shape)}: ` +
          "expected [b, t, h, d] and twice [b, s, g, d] where g divides h",
      );
    }
    return [[b!, t!, h!, v!.shape[3]!], [b!, h!, t!]];
  },
  run: (backend, inputs, [out, lse], present) => {
    const { mask, bias } = optional(inputs, present);
    backend.attention(inputs[0]!, inputs[1]!, inputs[2]!, mask, bias, present.options, out!, lse!);
  },
  vjp: (inputs, [out, lse], present, needs) => ({
    saved: [...inputs, out!, lse!],
    pull: (g) => {
      const wantsBias = present.bias && needs[needs.length - 1] === true;
      const [dq, dk, dv, dbias] = attentionGrad([...inputs, out!, lse!, g], { ...present, wantsBias });
      return [
        dq,
        dk,
        dv,
        ...present.mask ? [undefined] : [],
        ...present.bias ? [wantsBias ? sumTo(dbias!, inputs[inputs.length - 1]!.shape) : undefined] : [],
      ];
    },
  }),
});

interface Gradient extends Present {
  readonly wantsBias: boolean;
}

/** Inputs: those of `attentionOp`, then out, lse, g. */
const attentionGrad: Kernel<Gradient> = defineKernel({
  name: "attentionGrad",
  shape: ([q, k, v], { wantsBias }) => [q!.shape, k!.shape, v!.shape, ...wantsBias ? [scores(q!, k!)] : []],
  run: (backend, inputs, [dq, dk, dv, dbias], present) => {
    const { mask, bias } = optional(inputs, present);
    const [out, lse, g] = inputs.slice(-3);
    backend.attentionGrad(
      inputs[0]!,
      inputs[1]!,
      inputs[2]!,
      mask,
      bias,
      present.options,
      out!,
      lse!,
      g!,
      dq!,
      dk!,
      dv!,
      dbias,
    );
  },
});

const scores = (q: Tensor, k: Tensor): Shape => [q.shape[0]!, q.shape[2]!, q.shape[1]!, k.shape[1]!];

/** Options of `attend`; see `AttentionOptions`. */
export interface AttendOptions {
  /** f32 [b, s]: 0 hides a key. */
  readonly mask?: Tensor | undefined;
  /** Added to the scores; broadcastable to [b, h, t, s]. */
  readonly bias?: Tensor | undefined;
  /** Default 1/√d. */
  readonly scale?: number;
  /** Default false. */
  readonly causal?: boolean;
  /** Key position of query 0, default 0. */
  readonly offset?: number;
  /** Sliding window in keys; 0 (default) is none. */
  readonly window?: number;
  /** Leading keys that every query sees; default 0. */
  readonly always?: number;
}

/**
 * softmax(q kᵀ · scale + bias) v with grouped queries (arXiv 1706.03762, 2305.13245): q [b, t, h, d], k and v
 * [b, s, g, d] → [b, t, h, d]. The scores are never stored.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { attend, zeros } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const [q, v] = [zeros([1, 2, 1, 2], backend), tensor([[[[1, 0]], [[3, 4]]]], { backend })];
 * const y = attend(q, q, v, { causal: true });
 * assert.deepEqual([...await read(y)], [1, 0, 2, 2]); // equal scores: the mean of the values seen so far
 * ```
 */
export function attend(q: Tensor, k: Tensor, v: Tensor, options: AttendOptions = {}): Tensor {
  const { mask, bias } = options;
  return attentionOp([q, k, v, ...mask ? [mask] : [], ...bias ? [bias] : []], {
    mask: mask !== undefined,
    bias: bias !== undefined,
    options: {
      scale: options.scale ?? 1 / Math.sqrt(q.shape[3]!),
      causal: options.causal ?? false,
      offset: options.offset ?? 0,
      window: options.window ?? 0,
      always: options.always ?? 0,
    },
  });
}

const ropeOp: Op<boolean> = defineOp({
  name: "rope",
  shape: ([x]) => [x!.shape],
  run: (backend, [x, cos, sin], [y], inverse) => backend.rope(x!, cos!, sin!, inverse, y!),
  vjp: ([, cos, sin], _, inverse) => ({
    saved: [cos!, sin!],
    pull: (g) => [ropeOp([g, cos!, sin!], !inverse), undefined, undefined],
  }),
});

/**
 * Rotary positions (arXiv 2104.09864), half-split form: x [b, t, h, d], cos and sin [b or 1, t, d/2].
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { rope, ropeTables } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const { cos, sin } = ropeTables([[0, 1]], Float32Array.of(Math.PI / 2), backend);
 * const x = tensor([[[[1, 0]], [[1, 0]]]], { backend }); // [b, t, h, d]
 * const [a, b, c, d] = await read(rope(x, cos, sin));
 * assert.deepEqual([a, b], [1, 0]); // position 0 is not turned
 * assert.ok(Math.abs(c!) < 1e-6 && Math.abs(d! - 1) < 1e-6); // position 1 by a right angle
 * ```
 */
export function rope(x: Tensor, cos: Tensor, sin: Tensor): Tensor {
  return ropeOp([x, cos, sin], false);
}
