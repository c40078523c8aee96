/**
 * Where optimizer state lives. `resident`: tensors on the backend. `paged`: host memory, brought in one parameter at a
 * time, and a file once a budget is passed (QLoRA's paged optimizers, arXiv 2305.14314, without unified memory).
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
import { freshSlots, type Optimizer, type Slots, type StepOptions } from "./optimizer.ts";

/** One slot as bytes, for checkpoints. */
export interface SlotBytes {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** Options of one step; learning rates may differ by parameter (LoRA+). */
export interface ApplyOptions extends StepOptions {
  readonly rateOf?: (path: string) => number;
}

/** Optimizer state with its update. The one stateful object of a run. */
export interface Moments {
  readonly optimizer: Optimizer;
  /** Bytes held: in compute memory, in host memory, on disk. */
  bytes(): { readonly resident: number; readonly host: number; readonly disk: number };
  /** The next parameters (all of them; frozen ones shared). Gradients are freed by the caller. */
  apply(params: Tree, gradients: Tree, options: ApplyOptions): Promise<Tree>;
  /** Every slot, by "path/slot", one at a time. */
  save(): AsyncGenerator<readonly [name: string, slot: SlotBytes]>;
  /** Puts slots back. @throws {RangeError} when one does not fit the parameters. */
  restore(slots: ReadonlyMap<string, SlotBytes>): Promise<void>;
  dispose(): void;
}

/** State in compute memory. */
export function resident(optimizer: Optimizer, params: Tree): Moments {
  const trained = leaves(trainable(params));
  const fresh = (): Record<string, Slots> =>
    Object.fromEntries(trained.map(([path, leaf]) => [path, freshSlots(optimizer, leaf)]));
  const root: Root<Record<string, Slots>> = keep(scope((): Synchronous<Record<string, Slots>> => fresh()));
  const all = (): readonly (readonly [string, Tensor])[] =>
    Object.entries(root.tree).flatMap(([path, slots]) =>
      Object.entries(slots).map(([name, t]) => [`${path}/${name}`, t] as const)
    );
  return {
    optimizer,
    bytes: () => ({ resident: all().reduce((sum, [, t]) => sum + t.bytes, 0), host: 0, disk: 0 }),
    apply: (params, gradients, options) => {
      const next = scope((): Synchronous<Updated> => {
        const slots: Record<string, Slots> = {};
        const updated = leaves(gradients).map(([path, g]) => {
          const result = updateLeaf(optimizer, params, path, g, root.tree[path]!, options);
          slots[path] = result.slots;
          return [path, result.leaf] as const;
        });
        return { params: overlay(params, nest(updated) as Tree), slots };
      });
      root.replace(next.slots);
      return Promise.resolve(next.params);
    },
    async *save() {
      for (const [name, t] of all()) {
        yield [name, { dtype: t.dtype, shape: t.shape, bytes: await bytesOf(t) }];
      }
    },
    restore: (saved) => {
      const backend = trained[0]![1].backend;
      root.replace(
        scope((): Synchronous<Record<string, Slots>> =>
          Object.fromEntries(trained.map(([path, leaf]) => [
            path,
            Object.fromEntries(
              Object.entries(optimizer.slots(leaf)).map(([name, dtype]) => {
                const { bytes } = checked(saved, `${path}/${name}`, dtype, leaf);
                return [name, fromBytes(bytes, leaf.shape, dtype, backend)];
              }),
            ),
          ]))
        ),
      );
      return Promise.resolve();
    },
    dispose: () => root.dispose(),
  };
}

interface Updated {
  readonly params: Tree;
  readonly slots: Record<string, Slots>;
}

/** Updates one parameter. */
export function updateLeaf(
  optimizer: Optimizer,
  params: Tree,
  path: string,
  gradient: Tensor,
  slots: Slots,
  options: ApplyOptions,
): { readonly leaf: Tensor; readonly slots: Slots } {
  const rate = options.learningRate * (options.rateOf?.(path) ?? 1);
  return optimizer.update(leafOf(params, path), gradient, slots, { learningRate: rate, step: options.step });
}

/** The parameter at a path. */
export function leafOf(params: Tree, path: string): Tensor {
  return path.split(".").reduce((node: Tree | Tensor, name) => (node as Tree)[name]!, params) as Tensor;
}

/** A saved slot that fits. */
export function checked(
  saved: ReadonlyMap<string, SlotBytes>,
  name: string,
  dtype: DType,
  leaf: Tensor,
): SlotBytes {
  const slot = saved.get(name);
  if (slot === undefined) {
    throw new RangeError(`The saved optimizer state has no "${name}": it is of another method or model`);
  }
  if (slot.dtype !== dtype || slot.bytes.length !== byteLength(dtype, leaf.shape)) {
    throw new RangeError(
      `${name}: expected ${dtype} of [${leaf.shape.join(", ")}] but found ${slot.dtype} of [${
        slot.shape.join(", ")
      }]`,
    );
  }
  return slot;
}
