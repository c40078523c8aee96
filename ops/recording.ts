/** A backend that computes nothing and remembers which kernels are called on which shapes: what a pass takes to compute. */
import type { Backend, DType, Operand, Shape } from "../tensor/mod.ts";
import { byteLength } from "../tensor/mod.ts";
import { shapesOnly } from "./shapes_only.ts";

/** The members of a backend that compute. */
export type KernelName = Exclude<
  keyof Backend,
  "name" | "kernels" | "allocate" | "release" | "upload" | "download" | "capacity" | "pooled" | "close"
>;

/** An operand of a call: which of the call's storages it is in, and how that is read. */
export interface CallOperand {
  /** From 0; operands of one number share their bytes. */
  readonly storage: number;
  /** Sizes of the axes. */
  readonly shape: Shape;
  /** How the elements are stored. */
  readonly dtype: DType;
}

/** A call of a kernel without numbers. */
export interface KernelCall {
  /** Which. */
  readonly kernel: KernelName;
  /** The kernel with everything that its time depends on, as text: calls of one signature take the same time. */
  readonly signature: string;
  /** Bytes of each storage. */
  readonly storages: readonly number[];
  /** The kernel's arguments over such operands as are given. */
  arguments(operand: (of: CallOperand) => Operand): readonly unknown[];
}

/** A call, and how often it was made. */
export interface CountedCall {
  /** What was called. */
  readonly call: KernelCall;
  /** How often. */
  readonly count: number;
}

/** Calls by their signatures. */
export type CallCounts = ReadonlyMap<string, CountedCall>;

/** A backend with what was called on it. */
export interface RecordingBackend {
  /** Computes nothing. */
  readonly backend: Backend;
  /** The calls since it was last asked. */
  take(): CallCounts;
}

const KERNELS: { readonly [name in KernelName]: true } = {
  fill: true,
  copy: true,
  cast: true,
  unary: true,
  binary: true,
  select: true,
  reduce: true,
  argmax: true,
  permute: true,
  slice: true,
  place: true,
  concat: true,
  matmul: true,
  matmulPlus: true,
  matmulRounded: true,
  gatherRows: true,
  scatterAddRows: true,
  gatherLast: true,
  scatterAddLast: true,
  softmax: true,
  softmaxGrad: true,
  rmsNorm: true,
  rmsNormGrad: true,
  layerNorm: true,
  layerNormGrad: true,
  rope: true,
  attention: true,
  attentionGrad: true,
  crossEntropy: true,
  crossEntropyGrad: true,
  swiglu: true,
  swigluGrad: true,
  uniform: true,
  walshHadamard: true,
  fastfood: true,
  fastfoodTranspose: true,
  adamw: true,
  qr: true,
  svd: true,
  orderStatistic: true,
};

/** The names of all kernels. */
export const KERNEL_NAMES: readonly KernelName[] = Object.keys(KERNELS) as KernelName[];

/**
 * Creates a recording backend.
 *
 * @param like The backend whose calls are wanted: it decides which kernels there are, and so what ops call in their place.
 */
export function recordingShapes(like: Backend): RecordingBackend {
  let counts = new Map<string, CountedCall>();
  const recorded = (kernel: KernelName) => (...args: readonly unknown[]): void => {
    const call = callOf(kernel, args);
    const { count = 0 } = counts.get(call.signature) ?? {};
    counts.set(call.signature, { call, count: count + 1 });
  };
  const backend = {
    ...shapesOnly(),
    ...like.capacity !== undefined && { capacity: like.capacity },
    ...Object.fromEntries(
      KERNEL_NAMES.map((kernel) => [kernel, like[kernel] === undefined ? undefined : recorded(kernel)]),
    ),
    allocate: (bytes: number) => ({ bytes }), // an identity for each storage
  } as Backend;
  return {
    backend,
    take: () => {
      const taken = counts;
      counts = new Map();
      return taken;
    },
  };
}

function callOf(kernel: KernelName, args: readonly unknown[]): KernelCall {
  const storages = new Map<unknown, { readonly number: number; bytes: number }>();
  const placed = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(placed);
    if (!isOperand(value)) return value;
    const { raw, shape, dtype } = value;
    const bytes = byteLength(dtype, shape);
    const storage = storages.get(raw) ?? { number: storages.size, bytes };
    storage.bytes = Math.max(storage.bytes, bytes);
    storages.set(raw, storage);
    return new Placed({ storage: storage.number, shape, dtype });
  };
  const all = args.map(placed);
  return {
    kernel,
    signature: `${kernel} ${all.map(shown(kernel)).join(" ")}`,
    storages: [...storages.values()].map(({ bytes }) => bytes),
    arguments: (operand) => {
      const filled = (value: unknown): unknown =>
        Array.isArray(value) ? value.map(filled) : value instanceof Placed ? operand(value.operand) : value;
      return all.map(filled);
    },
  };
}

/** An operand among the arguments. */
class Placed {
  readonly operand: CallOperand;
  constructor(operand: CallOperand) {
    this.operand = operand;
  }
}

const isOperand = (value: unknown): value is Operand =>
  typeof value === "object" && value !== null && "dtype" in value && "shape" in value && "raw" in value;

/** Constants of a step of the optimizer and keys are as good as any others. */
const shown = (kernel: KernelName) => (value: unknown): string => {
  if (value instanceof Placed) {
    const { storage, shape, dtype } = value.operand;
    return `${storage}:${dtype}[${shape.join(",")}]`;
  }
  if (Array.isArray(value)) return `(${value.map(shown(kernel)).join(" ")})`;
  return kernel === "adamw" || kernel === "uniform" ? "" : JSON.stringify(value) ?? "none";
};
