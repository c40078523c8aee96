/** Tensors: immutable handles on storages. Ops read them and create new ones; nothing modifies one. */
import type { Backend, Operand, Raw } from "./backend.ts";
import type { DType } from "./dtype.ts";
import { type Shape, showShape, size } from "./shape.ts";
import type { Storage } from "./storage.ts";

/** One step of the recorded computation: how a gradient of its output becomes gradients of its inputs. */
export interface GraphNode {
  /** Creation number; inputs have smaller ones than outputs. */
  readonly id: number;
  /** The op's name, for messages. */
  readonly name: string;
  /** The tracked inputs, in order; untracked ones are undefined. */
  readonly parents: readonly (Tensor | undefined)[];
  /** What `pull` reads, so that it outlives the scopes in between. */
  readonly saved: readonly Tensor[];
  /**
   * Gradients of the parents from the gradient of the output; absent on a leaf. `spent` says of a saved tensor that it is freed
   * right after, so that its bytes may hold a result.
   */
  readonly pull?: (gradient: Tensor, spent: (saved: Tensor) => boolean) => readonly (Tensor | undefined)[];
}

/**
 * An immutable array of numbers on a backend. Created by ops, `tensor` and loaders.
 *
 * @example
 * ```ts
 * import { reference, tensor, Tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const x: Tensor = tensor([[1, 2, 3]], { backend: reference() });
 * assert.deepEqual([x.shape, x.size, x.bytes, x.dtype], [[1, 3], 3, 12, "f32"]);
 * assert.equal(String(x), "f32[1, 3] on reference");
 * ```
 */
export class Tensor implements Operand {
  /** What holds the bytes. */
  readonly storage: Storage;
  readonly shape: Shape;
  readonly dtype: DType;
  /** Present on tracked handles only. */
  readonly node?: GraphNode | undefined;

  /** A handle; use `tensor`, `fromBytes` or an op. */
  constructor(storage: Storage, shape: Shape, dtype: DType, node?: GraphNode) {
    this.storage = storage;
    this.shape = shape;
    this.dtype = dtype;
    this.node = node;
  }

  /** The backend that stores it. */
  get backend(): Backend {
    return this.storage.backend;
  }

  /** The backend's handle on its bytes. @throws {Error} when freed. */
  get raw(): Raw {
    return this.storage.raw;
  }

  /** Number of elements. */
  get size(): number {
    return size(this.shape);
  }

  /** Bytes of its storage. */
  get bytes(): number {
    return this.storage.bytes;
  }

  /** Shape, dtype and backend. */
  toString(): string {
    return `${this.dtype}${showShape(this.shape)} on ${this.backend.name}`;
  }
}

/**
 * The same storage under another shape of the same size; detached from the gradient graph. For ops.
 *
 * @example
 * ```ts
 * import { reference, reinterpret, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const x = tensor([1, 2, 3, 4], { backend: reference() });
 * assert.deepEqual(reinterpret(x, [2, 2]).shape, [2, 2]);
 * ```
 */
export function reinterpret(x: Tensor, shape: Shape): Tensor {
  return new Tensor(x.storage, shape, x.dtype);
}

/**
 * The same values without the gradient graph: no gradient flows back through the result.
 *
 * @example
 * ```ts
 * import { detach, read, reference, Tensor, tensor, valueAndGrad } from "@graft/peft";
 * import { multiply, sum } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * // d/dx of x · stop(x): the second factor counts as a number.
 * const x = tensor([3], { backend: reference() });
 * const { gradients } = valueAndGrad(({ x }: { x: Tensor }) => sum(multiply(x, detach(x))))({ x });
 * assert.deepEqual([...await read(gradients["x"] as Tensor)], [3]);
 * ```
 */
export function detach(x: Tensor): Tensor {
  return x.node === undefined ? x : new Tensor(x.storage, x.shape, x.dtype);
}
