/**
 * Optimizers as rules per leaf: from one parameter, its gradient and its slots (moments) to the next
 * parameter and slots. Storing the slots, in compute memory or paged out of it, is handled elsewhere
 * (`moments.ts`, `paged.ts`).
 */
import { allocate, castTo, type DType, type Tensor } from "../core/mod.ts";
import { add, multiply, subtract, zeros } from "../ops/mod.ts";

/** A parameter's optimizer state: tensors by name. */
export type Slots = { readonly [name: string]: Tensor };

/** Options of a step. */
export interface StepOptions {
  /** η of the step. */
  readonly learningRate: number;
  /** 1 for the first step. */
  readonly step: number;
}

/** A pure update rule. */
export interface Optimizer {
  /** Its name. */
  readonly name: string;
  /** Its settings, for records. */
  readonly config: Readonly<Record<string, number | string>>;
  /** Names and dtypes of the slots of a parameter; each has its shape. */
  slots(leaf: Tensor): Readonly<Record<string, DType>>;
  /** Returns new tensors; the inputs are not changed. */
  update(
    leaf: Tensor,
    gradient: Tensor,
    slots: Slots,
    options: StepOptions,
  ): { readonly leaf: Tensor; readonly slots: Slots };
}

/**
 * Slots of zeros.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { adamw, freshSlots } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const slots = freshSlots(adamw(), tensor([1, 2], { backend: reference() }));
 * assert.deepEqual(Object.keys(slots), ["first", "second"]);
 * assert.deepEqual([...await read(slots["first"]!)], [0, 0]);
 * ```
 */
export function freshSlots(optimizer: Optimizer, leaf: Tensor): Slots {
  return Object.fromEntries(
    Object.entries(optimizer.slots(leaf)).map((
      [name, dtype],
    ) => [name, castTo(zeros(leaf.shape, leaf.backend), dtype)]),
  );
}

/** Options of the AdamW family. */
export interface AdamWSettings {
  /** Default 0.9. */
  readonly beta1?: number;
  /** Default 0.999. */
  readonly beta2?: number;
  /** Default 1e-8. */
  readonly epsilon?: number;
  /** Decoupled decay per step, times the learning rate. Default 0. */
  readonly weightDecay?: number;
}

/**
 * AdamW (Loshchilov and Hutter 2017, arXiv 1711.05101), equal to torch.optim.AdamW. Two f32 slots per
 * parameter.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { adamw, freshSlots } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const optimizer = adamw({ weightDecay: 0.01 });
 * const backend = reference();
 * const leaf = tensor([1, 1], { backend });
 * const gradient = tensor([1, 10], { backend });
 * const step = { learningRate: 0.1, step: 1 };
 * const { leaf: next } = optimizer.update(leaf, gradient, freshSlots(optimizer, leaf), step);
 * // The first step is the learning rate for every number, and the decay.
 * assert.ok((await read(next)).every((x) => Math.abs(x - (1 - 0.1 - 0.1 * 0.01)) < 1e-6));
 * ```
 */
export function adamw(settings: AdamWSettings = {}): Optimizer {
  return adamwOver("adamw", settings, () => ["f32", "f32"]);
}

/**
 * AdamW with 8-bit slots in blocks of 256 on the dynamic map (Dettmers et al. 2021, arXiv 2110.02861): a quarter of the
 * state. Parameters under 4,096 elements keep f32 slots, as in bitsandbytes.
 *
 * @example
 * ```ts
 * import { reference } from "@graft/peft";
 * import { zeros } from "@graft/peft/ops";
 * import { adamw, adamw8bit, resident } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const params = { w: zeros([64, 64], reference()) };
 * const [whole, small] = [adamw(), adamw8bit()].map((o) => resident(o, params).bytes().resident);
 * assert.ok(small! < 0.27 * whole!); // a byte per number, and one f32 per block of 256
 * ```
 */
export function adamw8bit(settings: AdamWSettings = {}): Optimizer {
  return adamwOver(
    "adamw8bit",
    settings,
    (leaf) => leaf.size < 4096 ? ["f32", "f32"] : ["dynamic8", "udynamic8"],
  );
}

function adamwOver(
  name: string,
  { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0 }: AdamWSettings,
  dtypes: (leaf: Tensor) => readonly [DType, DType],
): Optimizer {
  return {
    name,
    config: { beta1, beta2, epsilon, weightDecay },
    slots: (leaf) => {
      const [first, second] = dtypes(leaf);
      return { first, second };
    },
    update: (leaf, gradient, slots, { learningRate, step }) => {
      const { backend, shape } = leaf;
      const [next, first, second] = [
        allocate(backend, shape),
        allocate(backend, shape),
        allocate(backend, shape),
      ];
      backend.adamw(
        leaf,
        gradient,
        castTo(slots["first"]!, "f32"),
        castTo(slots["second"]!, "f32"),
        { learningRate, beta1, beta2, epsilon, weightDecay, step },
        next,
        first,
        second,
      );
      const stored = {
        first: castTo(first, slots["first"]!.dtype),
        second: castTo(second, slots["second"]!.dtype),
      };
      return { leaf: next, slots: stored };
    },
  };
}

/** Options of SGD. */
export interface SgdSettings {
  /** Default 0: no slot. */
  readonly momentum?: number;
  /** L2 term added to the gradient. Default 0. */
  readonly weightDecay?: number;
}

/**
 * Stochastic gradient descent with momentum, equal to torch.optim.SGD (no dampening, no Nesterov).
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { sgd } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const [leaf, gradient] = [tensor([1], { backend }), tensor([2], { backend })];
 * const { leaf: next } = sgd().update(leaf, gradient, {}, { learningRate: 0.25, step: 1 });
 * assert.deepEqual([...await read(next)], [0.5]);
 * ```
 */
export function sgd({ momentum = 0, weightDecay = 0 }: SgdSettings = {}): Optimizer {
  return {
    name: "sgd",
    config: { momentum, weightDecay },
    slots: (): Readonly<Record<string, DType>> => momentum === 0 ? {} : { velocity: "f32" },
    update: (leaf, gradient, slots, { learningRate }) => {
      const g = weightDecay === 0 ? gradient : add(gradient, multiply(leaf, weightDecay));
      if (momentum === 0) return { leaf: subtract(leaf, multiply(g, learningRate)), slots };
      const velocity = add(multiply(slots["velocity"]!, momentum), g);
      return { leaf: subtract(leaf, multiply(velocity, learningRate)), slots: { velocity } };
    },
  };
}
