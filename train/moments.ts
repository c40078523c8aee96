/**
 * Where optimizer state is stored. `resident`: tensors on the backend. `paged`: host memory, loaded one
 * parameter at a time, and a file once a budget is exceeded (QLoRA's paged optimizers, arXiv 2305.14314,
 * without unified memory).
 */
import {
  byteLength,
  bytesOf,
  type DType,
  fromBytes,
  keep,
  leaves,
  nest,
  overlay,
  type Root,
  scope,
  type Synchronous,
  type Tensor,
  trainable,
  type Tree,
} from "../core/mod.ts";
import { multiply } from "../ops/mod.ts";
import { freshSlots, type Optimizer, type Slots, type StepOptions } from "./optimizer.ts";
import { rangeError } from "../errors/error.ts";

/** One slot as bytes, for checkpoints. */
export interface SlotBytes {
  /** The dtype of the values. */
  readonly dtype: DType;
  /** Sizes of the axes. */
  readonly shape: readonly number[];
  /** The values in the dtype's layout. */
  readonly bytes: Uint8Array;
}

/** Options of one step; learning rates may differ by parameter (LoRA+). */
export interface ApplyOptions extends StepOptions {
  /** Factor on the learning rate by parameter path. */
  readonly rateOf?: (path: string) => number;
  /** Factor on every gradient (clipping). Default 1. */
  readonly gradientFactor?: number;
}

/** Optimizer state with its update. The one stateful object of a run. */
export interface Moments {
  /** The update rule. */
  readonly optimizer: Optimizer;
  /** Bytes held: in compute memory, in host memory, on disk. */
  bytes(): { readonly resident: number; readonly host: number; readonly disk: number };
  /** The next parameters (all of them; frozen ones shared). Gradients are freed by the caller. */
  apply(params: Tree, gradients: Tree, options: ApplyOptions): Promise<Tree>;
  /** Every slot, by "path/slot", one at a time. */
  save(): AsyncGenerator<readonly [name: string, slot: SlotBytes]>;
  /** Restores slots. @throws {RangeError} when one does not fit the parameters. */
  restore(slots: ReadonlyMap<string, SlotBytes>): Promise<void>;
  /** Frees what it holds. */
  dispose(): void;
}

/**
 * State in compute memory.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { resident, sgd } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const params = { w: tensor([1, 1], { backend }) };
 * const gradients = { w: tensor([2, 0], { backend }) };
 * const moments = resident(sgd({ momentum: 0.9 }), params);
 * assert.equal(moments.bytes().resident, 8); // one f32 per number
 * const next = await moments.apply(params, gradients, { learningRate: 0.25, step: 1 }) as typeof params;
 * assert.deepEqual([...await read(next.w)], [0.5, 1]);
 * moments.dispose();
 * ```
 */
export function resident(optimizer: Optimizer, params: Tree): Moments {
  const trained = leaves(trainable(params));
  // One root per parameter: each update frees the old slots before the next ones are created.
  const roots = new Map<string, Root<Slots>>(
    trained.map(([path, leaf]) => [path, keep(scope((): Synchronous<Slots> => freshSlots(optimizer, leaf)))]),
  );
  const all = (): readonly (readonly [string, Tensor])[] =>
    [...roots].flatMap(([path, root]) =>
      Object.entries(root.tree).map(([name, t]) => [`${path}/${name}`, t] as const)
    );
  return {
    optimizer,
    bytes: () => ({ resident: all().reduce((sum, [, t]) => sum + t.bytes, 0), host: 0, disk: 0 }),
    apply: (params, gradients, options) => {
      const updated = leaves(gradients).map(([path, gradient]) => {
        const root = roots.get(path)!;
        const next = scope((): Synchronous<Updated> =>
          updateLeaf(optimizer, params, path, gradient, root.tree, options)
        );
        root.replace(next.slots);
        return [path, next.leaf] as const;
      });
      return Promise.resolve(overlay(params, nest(updated) as Tree));
    },
    async *save() {
      for (const [name, t] of all()) {
        yield [name, { dtype: t.dtype, shape: t.shape, bytes: await bytesOf(t) }];
      }
    },
    restore: (saved) => {
      for (const [path, leaf] of trained) {
        const slots = Object.entries(optimizer.slots(leaf)).map(([name, dtype]) => {
          const { bytes } = checked(saved, `${path}/${name}`, dtype, leaf);
          return [name, fromBytes(bytes, leaf.shape, dtype, leaf.backend)] as const;
        });
        roots.get(path)!.replace(Object.fromEntries(slots));
      }
      return Promise.resolve();
    },
    dispose: () => {
      for (const root of roots.values()) root.dispose();
    },
  };
}

/** A parameter after a step. */
export interface Updated {
  /** Its next value. */
  readonly leaf: Tensor;
  /** Its next optimizer state. */
  readonly slots: Slots;
}

/** Updates one parameter. */
export function updateLeaf(
  optimizer: Optimizer,
  params: Tree,
  path: string,
  gradient: Tensor,
  slots: Slots,
  { learningRate, step, rateOf, gradientFactor = 1 }: ApplyOptions,
): Updated {
  const scaled = gradientFactor === 1 ? gradient : multiply(gradient, gradientFactor);
  return optimizer.update(leafOf(params, path), scaled, slots, {
    learningRate: learningRate * (rateOf?.(path) ?? 1),
    step,
  });
}

/** The parameter at a path. */
export function leafOf(params: Tree, path: string): Tensor {
  return path.split(".").reduce((node: Tree | Tensor, name) => (node as Tree)[name]!, params) as Tensor;
}

/** A saved slot, checked to fit. */
export function checked(
  saved: ReadonlyMap<string, SlotBytes>,
  name: string,
  dtype: DType,
  leaf: Tensor,
): SlotBytes {
  const slot = saved.get(name);
  if (slot === undefined) {
    throw rangeError(
      "CANNOT_RESUME",
      `The saved optimizer state has no "${name}": it is of another method or model`,
    );
  }
  if (slot.dtype !== dtype || slot.bytes.length !== byteLength(dtype, leaf.shape)) {
    throw rangeError(
      "CANNOT_RESUME",
      `${name}: expected ${dtype} of [${leaf.shape.join(", ")}] but found ${slot.dtype} of [${
        slot.shape.join(", ")
      }]`,
    );
  }
  return slot;
}
