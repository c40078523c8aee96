/** Assembles the kernels of one machine into a backend. */
import type { Backend, BinaryOp, Operand, Raw, ReduceOp, UnaryOp } from "../../tensor/backend.ts";
import type { Key } from "../../tensor/key.ts";
import { rowsAndWidth, size } from "../../tensor/shape.ts";
import { arena, type Block } from "./arena.ts";
import { castKernels } from "./casts.ts";
import { BINARY, REDUCE, UNARY } from "./codes.ts";
import { context } from "./context.ts";
import { factorKernels } from "./factors.ts";
import type { Machine } from "./machine.ts";
import { moveKernels } from "./moves.ts";
import { productKernels } from "./products.ts";
import { transformKernels } from "./transforms.ts";
import { broadcastStrides, mergeAxes, words } from "../../tensor/walk.ts";
import { failure, rangeError } from "../../errors/error.ts";

/** A backend over a machine. */
export function backend(started: Machine, name: "wasm" | "native"): Backend {
  let machine: Machine | undefined = started;
  const running = (): Machine => {
    if (machine) return machine;
    throw failure("FREED", `Cannot use this ${name} backend: it was closed`);
  };
  const memory = arena(running);
  const shared = context(running, memory);
  const { kernels, address, at } = shared;

  /** The bytes of a storage, as a view that must not outlive a call that allocates. */
  const view = (raw: Raw, offset: number, length: number): Uint8Array => {
    const { pointer } = raw as Block;
    if (pointer === 0) throw failure("FREED", `Cannot move ${length} bytes: the memory was released`);
    return running().view(pointer + offset, length);
  };
  const spec = (operands: readonly Operand[], out: Operand): number => {
    const steps = operands.map((x) => broadcastStrides(x.shape, out.shape));
    return shared.words(words(mergeAxes(out.shape, steps)));
  };
  const checkLabels = (labels: Operand, width: number): void => {
    const n = size(labels.shape);
    const bad = kernels().first_outside(at(labels, "i32"), n, width, -100) >>> 0;
    if (bad < n) {
      throw rangeError(
        "INVALID_TENSOR",
        `Cannot take the crossEntropy of the label in row ${bad}: labels are 0 to ${width - 1}, or -100`,
      );
    }
  };

  return {
    name,
    kernels: started.build,
    ...started.capacity !== undefined && { capacity: started.capacity },
    allocate: (bytes: number): Block => memory.allocate(bytes),
    release: (raw: Raw, bytes: number): void => memory.release(raw as Block, bytes),
    upload(raw: Raw, bytes: Uint8Array, offset: number = 0): void {
      view(raw, offset, bytes.length).set(bytes);
    },
    download(raw: Raw, bytes: number): Uint8Array {
      return view(raw, 0, bytes).slice();
    },
    pooled: (): number => machine ? memory.pooled() + machine.scratch() : 0,
    close(): void {
      machine?.stop();
      machine = undefined;
    },
    ...castKernels(shared),
    ...moveKernels(shared),
    ...productKernels(shared),
    ...factorKernels(shared),
    ...transformKernels(shared),
    unary(op: UnaryOp, x: Operand, out: Operand): void {
      kernels().unary(UNARY[op], at(x), at(out), size(out.shape));
    },
    binary(op: BinaryOp, a: Operand, b: Operand, out: Operand): void {
      if (size(out.shape) === 0) return;
      if (a.dtype === "i32") {
        const all = [at(a, "i32"), at(b, "i32"), address(out)] as const;
        kernels().binary_i32(BINARY[op], spec([a, b], out), ...all);
      } else {
        const all = [at(a), at(b), at(out)] as const;
        kernels().binary(BINARY[op], spec([a, b], out), ...all);
      }
    },
    select(condition: Operand, a: Operand, b: Operand, out: Operand): void {
      if (size(out.shape) === 0) return;
      const all = [address(condition), at(a, out.dtype), at(b, out.dtype), address(out)] as const;
      kernels().select(spec([condition, a, b], out), ...all);
    },
    reduce(op: ReduceOp, x: Operand, outer: number, n: number, inner: number, out: Operand): void {
      kernels().reduce(REDUCE[op], at(x), outer, n, inner, at(out));
    },
    argmax(x: Operand, out: Operand): void {
      const { rows, width } = rowsAndWidth(x.shape);
      kernels().argmax(at(x), rows, width, at(out, "i32"));
    },
    softmax(x: Operand, out: Operand): void {
      const { rows, width } = rowsAndWidth(x.shape);
      kernels().softmax(at(x), rows, width, at(out));
    },
    softmaxGrad(y: Operand, g: Operand, out: Operand): void {
      const { rows, width } = rowsAndWidth(y.shape);
      kernels().softmax_grad(at(y), at(g), rows, width, at(out));
    },
    rmsNorm(x: Operand, weight: Operand, epsilon: number, out: Operand, inverse: Operand): void {
      const { rows, width } = rowsAndWidth(x.shape);
      kernels().rms_norm(at(x), at(weight), epsilon, rows, width, at(out), at(inverse));
    },
    rmsNormGrad(x: Operand, weight: Operand, inverse: Operand, g: Operand, dx: Operand): void {
      const { rows, width } = rowsAndWidth(x.shape);
      kernels().rms_norm_grad(at(x), at(weight), at(inverse), at(g), rows, width, at(dx));
    },
    layerNorm(x, weight, bias, epsilon, out, mean, inverse) {
      const { rows, width } = rowsAndWidth(x.shape);
      const outputs = [at(out), at(mean), at(inverse)] as const;
      kernels().layer_norm(at(x), at(weight), at(bias), epsilon, rows, width, ...outputs);
    },
    layerNormGrad(x, weight, mean, inverse, g, dx) {
      const { rows, width } = rowsAndWidth(x.shape);
      kernels().layer_norm_grad(at(x), at(weight), at(mean), at(inverse), at(g), rows, width, at(dx));
    },
    rope(x: Operand, cos: Operand, sin: Operand, inverse: boolean, out: Operand): void {
      const [b, t, h, d] = x.shape as [number, number, number, number];
      const tables = cos.shape[0]! * t;
      kernels().rope(at(x), at(cos), at(sin), inverse ? -1 : 1, b * t, tables, h, d, at(out));
    },
    crossEntropy(logits: Operand, labels: Operand, smoothing: number, loss: Operand, lse: Operand): void {
      const { rows, width } = rowsAndWidth(logits.shape);
      checkLabels(labels, width);
      kernels().cross_entropy(at(logits), at(labels, "i32"), rows, width, smoothing, at(loss), at(lse));
    },
    crossEntropyGrad(
      logits: Operand,
      labels: Operand,
      smoothing: number,
      lse: Operand,
      g: Operand,
      dlogits: Operand,
    ): void {
      const { rows, width } = rowsAndWidth(logits.shape);
      checkLabels(labels, width);
      const inputs = [at(logits), at(labels, "i32"), rows, width, smoothing, at(lse), at(g)] as const;
      kernels().cross_entropy_grad(...inputs, at(dlogits));
    },
    swiglu(gate: Operand, up: Operand, out: Operand): void {
      kernels().swiglu(at(gate), at(up), at(out), size(out.shape));
    },
    swigluGrad(gate: Operand, up: Operand, g: Operand, dgate: Operand, dup: Operand): void {
      kernels().swiglu_grad(at(gate), at(up), at(g), at(dgate), at(dup), size(g.shape));
    },
    uniform(key: Key, out: Operand): void {
      kernels().uniform(key.a, key.b, at(out), size(out.shape));
    },
  };
}
