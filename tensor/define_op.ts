/** `defineOp`: defines an op's shape rule, kernel and derivative in one place. */
import { type Backend, BackendMismatchError } from "./backend.ts";
import type { DType } from "./dtype.ts";
import { sameShape, type Shape, showShape } from "./shape.ts";
import { allocate } from "./create.ts";
import { runKernel } from "./scope.ts";
import { nextAge } from "./storage.ts";
import { detach, Tensor } from "./tensor.ts";
import { failure } from "../errors/error.ts";

/** What an op saves for its backward pass, and how it propagates a gradient. */
export interface Pullback {
  /** Every tensor that `pull` reads besides the gradient. Nothing else survives the forward pass. */
  readonly saved: readonly Tensor[];
  /**
   * Gradients of the inputs, in order; undefined where none is needed. `spent` tells whether a saved tensor
   * is freed right afterwards, so that its bytes may be reused for a result.
   */
  pull(gradient: Tensor, spent: (saved: Tensor) => boolean): readonly (Tensor | undefined)[];
}

/** A kernel call with its shape rule. `A` are its static options. */
export interface KernelDefinition<A> {
  /** Its name in error messages. */
  readonly name: string;
  /** Checks the inputs and returns the outputs' shapes (f32 unless a dtype is given). */
  shape(
    inputs: readonly Tensor[],
    options: A,
  ): readonly (Shape | { readonly shape: Shape; readonly dtype: DType })[];
  /** Calls kernels that write all outputs. */
  run(backend: Backend, inputs: readonly Tensor[], outputs: readonly Tensor[], options: A): void;
}

/** The parts of an op: a kernel whose first output is the result, and its derivative. */
export interface OpDefinition<A> extends KernelDefinition<A> {
  /**
   * The derivative. Handles are untracked; `needs[i]` says whether input i needs a gradient. Absent: not
   * differentiable.
   */
  vjp?(
    inputs: readonly Tensor[],
    outputs: readonly Tensor[],
    options: A,
    needs: readonly boolean[],
  ): Pullback;
}

/** An op: inputs and options to one tensor. */
export type Op<A> = (inputs: readonly Tensor[], options: A) => Tensor;

/**
 * A kernel without a derivative: inputs and options to all outputs. Used for derivatives with several
 * results.
 */
export type Kernel<A> = (inputs: readonly Tensor[], options: A) => readonly Tensor[];

/**
 * Defines a kernel. Calling it checks shapes, allocates the outputs and runs on the inputs' backend.
 *
 * @throws {BackendMismatchError} when inputs are on different backends.
 * @example
 * ```ts
 * import { defineKernel, read, reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * // RMSNorm and the inverse root mean square it divided by: two results of one kernel.
 * const norm = defineKernel<{ readonly epsilon: number }>({
 *   name: "norm",
 *   shape: ([x]) => [x!.shape, [x!.shape[0]!]],
 *   run: (backend, [x, weight], [y, inverse], { epsilon }) =>
 *     backend.rmsNorm(x!, weight!, epsilon, y!, inverse!),
 * });
 * const backend = reference();
 * const [y, inverse] = norm([tensor([[2, -2]], { backend }), tensor([1, 1], { backend })], { epsilon: 0 });
 * assert.deepEqual([[...await read(y!)], [...await read(inverse!)]], [[1, -1], [0.5]]);
 * ```
 */
export function defineKernel<A>(definition: KernelDefinition<A>): Kernel<A> {
  return (inputs, options) => {
    const backend = backendOf(definition.name, inputs);
    const outputs = definition.shape(inputs, options).map((o) =>
      "dtype" in o ? allocate(backend, o.shape, o.dtype) : allocate(backend, o)
    );
    runKernel(inputs, outputs, () => definition.run(backend, inputs, outputs, options));
    return outputs;
  };
}

/**
 * Defines an op. Calling it runs the kernel and, when an input is tracked, records the derivative on the
 * result's handle.
 *
 * @throws {BackendMismatchError} when inputs are on different backends.
 * @example
 * ```ts
 * import { defineOp, read, reference, Tensor, tensor, valueAndGrad } from "@graft/peft";
 * import { multiply, sum } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const doubled = defineOp<Record<string, never>>({
 *   name: "double",
 *   shape: ([x]) => [x!.shape],
 *   run: (backend, [x], [y]) => backend.binary("add", x!, x!, y!),
 *   vjp: () => ({ saved: [], pull: (gradient) => [multiply(gradient, 2)] }),
 * });
 * const x = tensor([1, 2], { backend: reference() });
 * const { gradients } = valueAndGrad(({ x }: { x: Tensor }) => sum(doubled([x], {})))({ x });
 * assert.deepEqual([...await read(gradients["x"] as Tensor)], [2, 2]);
 * ```
 */
export function defineOp<A>(definition: OpDefinition<A>): Op<A> {
  const kernel = defineKernel(definition);
  return (inputs, options) => {
    const plain = inputs.map(detach);
    const outputs = kernel(plain, options);
    const result = outputs[0]!;
    const needs = inputs.map((x) => x.node !== undefined);
    if (definition.vjp === undefined || !needs.includes(true)) return result;
    const { saved, pull } = definition.vjp(plain, outputs, options, needs);
    return new Tensor(result.storage, result.shape, result.dtype, {
      id: nextAge(),
      name: definition.name,
      parents: inputs.map((x) => x.node === undefined ? undefined : x),
      saved,
      pull,
    });
  };
}

/** The one backend of all inputs. */
function backendOf(name: string, inputs: readonly Tensor[]): Backend {
  const first = inputs[0]!;
  for (const x of inputs) {
    if (x.backend !== first.backend) {
      const [one, two] = [first.backend.name, x.backend.name];
      throw new BackendMismatchError(
        `Cannot ${name} a tensor on ${one} and one on ${
          one === two ? `another ${two}` : two
        }: load both on one ` +
          "backend, or move one by tensor(await read(x), { backend, shape: x.shape })",
      );
    }
    if (x.storage.freed) {
      throw failure(
        "FREED",
        `Cannot ${name}: its input ${showShape(x.shape)} was freed; keep it or return it from its scope`,
      );
    }
  }
  return first.backend;
}

/**
 * A view with another shape on the same storage, through which gradients propagate.
 *
 * @example
 * ```ts
 * import { reference, tensor, viewAs } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const x = tensor([1, 2, 3, 4, 5, 6], { backend: reference() });
 * const y = viewAs(x, [2, 3]);
 * assert.deepEqual(y.shape, [2, 3]);
 * assert.equal(y.storage, x.storage); // nothing is copied
 * ```
 */
export function viewAs(x: Tensor, shape: Shape): Tensor {
  if (sameShape(x.shape, shape)) return x;
  return new Tensor(
    x.storage,
    shape,
    x.dtype,
    x.node === undefined ? undefined : {
      id: nextAge(),
      name: "reshape",
      parents: [x],
      saved: [],
      pull: (g) => [new Tensor(g.storage, x.shape, g.dtype)],
    },
  );
}
