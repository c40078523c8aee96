/**
 * The interface between the differentiable ops and the code that computes: about forty kernels over storage.
 * A kernel reads its operands and writes every element of `out`, which the caller allocated with the right
 * shape and dtype; shapes have already been checked. Everything is contiguous and row-major. Unless said
 * otherwise operands and outputs are f32.
 *
 * Shape rules, broadcasting rules and derivatives do not belong in a backend (they are in `ops/`), nor does a
 * registry.
 */
import type { DType } from "./dtype.ts";
import type { Key } from "./key.ts";
import type { Shape } from "./shape.ts";

/** A backend's own handle on a run of bytes: an arena offset, a GPU buffer, an ArrayBuffer. Only it can look inside. */
export type Raw = unknown;

/** An operand of a kernel: bytes, and how to interpret them. Every `Tensor` is one. */
export interface Operand {
  /** The backend's own handle of the storage. */
  readonly raw: Raw;
  /** Sizes of the axes. */
  readonly shape: Shape;
  /** How the elements are stored. */
  readonly dtype: DType;
}

/** y = op(x), elementwise. `gelu` is the erf form, `geluTanh` the tanh form ("gelu_new"). */
export type UnaryOp =
  | "negate"
  | "exp"
  | "log"
  | "sqrt"
  | "rsqrt"
  | "reciprocal"
  | "square"
  | "abs"
  | "sign"
  | "sin"
  | "cos"
  | "tanh"
  | "sigmoid"
  | "silu"
  | "relu"
  | "gelu"
  | "geluTanh"
  | "erf"
  | "floor"
  | "round";

/** y = op(a, b) with broadcasting; comparisons return 1 or 0. */
export type BinaryOp =
  | "add"
  | "subtract"
  | "multiply"
  | "divide"
  | "maximum"
  | "minimum"
  | "power"
  | "equal"
  | "less"
  | "lessEqual";

/** Reductions over one axis range. */
export type ReduceOp = "sum" | "max" | "min";

/** How `attention` masks and scales. */
export interface AttentionOptions {
  /** Factor on q·k, usually 1/√headDim. */
  readonly scale: number;
  /** Query i sees keys 0 … i + offset, plus every key before `always`. */
  readonly causal: boolean;
  /** s − t for a full cache: the key position of query 0. */
  readonly offset: number;
  /** Sliding window: a key more than this many positions behind its query is hidden; 0 means none. */
  readonly window: number;
  /** The first `always` keys are visible to every query (prefixes), unless masked. */
  readonly always: number;
}

/** Constants of one AdamW step (arXiv 1711.05101): decoupled decay, bias correction at step t = 1, 2, … */
export interface AdamWOptions {
  /** η of the step. */
  readonly learningRate: number;
  /** Decay of the first moment. */
  readonly beta1: number;
  /** Decay of the second moment. */
  readonly beta2: number;
  /** Added to the root of the second moment. */
  readonly epsilon: number;
  /** Decoupled decay, times η. */
  readonly weightDecay: number;
  /** 1 for the first. */
  readonly step: number;
}

/** The sizes and the random part of that half of the Fastfood transform that has the size of the output. */
export interface FastfoodShape {
  /** D, the outputs. */
  readonly size: number;
  /** K, outputs per row: a power of two. */
  readonly block: number;
  /**
   * Key of G's stream: words 2i and 2i + 1 give, by the Box–Muller transform, values 2i and 2i + 1 of all
   * rows together.
   */
  readonly gaussian: Key;
  /** Parameters of Π: m and a of four rounds (ops/random_permutation.ts), 32 bits each. */
  readonly mixing: readonly number[];
}

/** Bytes a backend holds. `live`: in tensors; `pooled`: kept for reuse; `peak`: the maximum of `live`. */
export interface MemoryUse {
  /** Bytes in use. */
  readonly live: number;
  /** Bytes kept for reuse. */
  readonly pooled: number;
  /** The maximum number of bytes in use at any time. */
  readonly peak: number;
}

/** The kernels. See the module comment for their common contract. */
export interface Backend {
  /** Which backend it is. */
  readonly name: "reference" | "wasm" | "native" | "gpu" | "shapes";
  /**
   * Which build of the kernels computes: backends of one name and build give the same bits on one kind of CPU. Absent where the
   * runtime itself compiles them.
   */
  readonly kernels?: string;

  /**
   * Uninitialised bytes. @throws {Error} when memory is exhausted; the message states how much was requested
   * and held.
   */
  allocate(bytes: number): Raw;
  /** Releases the bytes. */
  release(raw: Raw, bytes: number): void;
  /** Copies host bytes in, at a byte offset. */
  upload(raw: Raw, bytes: Uint8Array, offset?: number): void;
  /** A copy of the first `bytes` bytes. Synchronous on reference and wasm. */
  download(raw: Raw, bytes: number): Uint8Array | Promise<Uint8Array>;
  /** Maximum number of bytes it can hold; absent where only the machine limits it. */
  readonly capacity?: number;
  /** Bytes kept for reuse beyond what tensors hold. */
  pooled(): number;
  /** Stops workers and frees everything. */
  close(): void;

  /** out[i] = value. Any plain dtype. */
  fill(value: number, out: Operand): void;
  /** Copies bytes of the same dtype and size. */
  copy(x: Operand, out: Operand): void;
  /** Converts between any two dtypes of the same shape: decodes quantized x, encodes quantized out. */
  cast(x: Operand, out: Operand): void;

  /** out ← op(x), elementwise. */
  unary(op: UnaryOp, x: Operand, out: Operand): void;
  /** a and b broadcast to out's shape. i32 operands are allowed when both are i32 (comparisons then write f32). */
  binary(op: BinaryOp, a: Operand, b: Operand, out: Operand): void;
  /** out = condition ≠ 0 ? a : b, all broadcast to out's shape. */
  select(condition: Operand, a: Operand, b: Operand, out: Operand): void;
  /**
   * x seen as [outer, n, inner] → out [outer, inner]. Sums of more than 256 elements are computed pairwise or
   * in higher precision than f32.
   */
  reduce(op: ReduceOp, x: Operand, outer: number, n: number, inner: number, out: Operand): void;
  /** The index (i32) of the largest element along the last axis; the first one on ties. */
  argmax(x: Operand, out: Operand): void;

  /** out axes are x's axes in the order given (as numpy.transpose). f32 or i32. */
  permute(x: Operand, axes: readonly number[], out: Operand): void;
  /** out = the box of x that starts at `starts` and has out's shape. Any plain dtype. */
  slice(x: Operand, starts: readonly number[], out: Operand): void;
  /** out = zeros, with x written at `starts`. */
  place(x: Operand, starts: readonly number[], out: Operand): void;
  /** Concatenates along an axis. */
  concat(parts: readonly Operand[], axis: number, out: Operand): void;

  /**
   * out = a · b over the last two axes, f32 sums. a: [..., m, k] or with `transposeA` [..., k, m]; b: [..., k, n] or with
   * `transposeB` [..., n, k], of any weight dtype when it has two axes. Leading axes broadcast.
   */
  matmul(
    a: Operand,
    b: Operand,
    options: { readonly transposeA: boolean; readonly transposeB: boolean },
    out: Operand,
  ): void;

  /**
   * out = a · b + c · dᵀ in one pass over out: a product plus a low-rank term. a [m, k] and b as in `matmul`,
   * of two axes; c [m, r], d [n, r] f32. Absent where two products and a sum are as fast.
   */
  matmulPlus?(
    a: Operand,
    b: Operand,
    options: { readonly transposeA: boolean; readonly transposeB: boolean },
    c: Operand,
    d: Operand,
    out: Operand,
  ): void;

  /**
   * out = round(a) · bᵀ for a [m, k] and b [n, k] in GGUF blocks: each block of a row of a, as long as b's, is rounded to whole
   * numbers of eight bits times a scale, as llama.cpp rounds it, and products of codes are summed as whole numbers. The same
   * bits on all backends that have it; absent elsewhere.
   */
  matmulRounded?(a: Operand, b: Operand, out: Operand): void;

  /** out[i] = table[ids[i]] over the first axis; table [v, ...] of any dtype, ids i32 of any shape, out f32. */
  gatherRows(table: Operand, ids: Operand, out: Operand): void;
  /** out = zeros [v, ...]; out[ids[i]] += x[i], added in order of i. */
  scatterAddRows(x: Operand, ids: Operand, out: Operand): void;
  /** out[..., j] = x[..., ids[..., j]] along the last axis. */
  gatherLast(x: Operand, ids: Operand, out: Operand): void;
  /** out = zeros; out[..., ids[..., j]] += x[..., j] along the last axis. */
  scatterAddLast(x: Operand, ids: Operand, out: Operand): void;

  /** Softmax over the last axis; a row of −∞ gives zeros. */
  softmax(x: Operand, out: Operand): void;
  /** dx = y ⊙ (g − Σ g ⊙ y) over the last axis, y = softmax(x). */
  softmaxGrad(y: Operand, g: Operand, out: Operand): void;

  /** y = x · inverse · weight, inverse = 1/√(mean x² + ε), over the last axis. inverse: [rows]. */
  rmsNorm(x: Operand, weight: Operand, epsilon: number, out: Operand, inverse: Operand): void;
  /** dx from g, for rmsNorm. */
  rmsNormGrad(x: Operand, weight: Operand, inverse: Operand, g: Operand, dx: Operand): void;
  /** y = (x − mean) · inverse · weight + bias over the last axis. mean, inverse: [rows]. */
  layerNorm(
    x: Operand,
    weight: Operand,
    bias: Operand,
    epsilon: number,
    out: Operand,
    mean: Operand,
    inverse: Operand,
  ): void;
  /** dx from g, for layerNorm. */
  layerNormGrad(x: Operand, weight: Operand, mean: Operand, inverse: Operand, g: Operand, dx: Operand): void;

  /**
   * Rotary positions in the half-split form: for x [b, t, h, d] and tables cos, sin [b or 1, t, d/2],
   * out[j] = x[j] cos − x[j + d/2] sin, out[j + d/2] = x[j + d/2] cos + x[j] sin; `inverse` rotates back.
   */
  rope(x: Operand, cos: Operand, sin: Operand, inverse: boolean, out: Operand): void;

  /**
   * out = softmax(scale · q kᵀ + bias, masked) v. q [b, t, h, d]; k, v [b, s, g, d] where g divides h (grouped queries);
   * mask f32 [b, s], 0 hides a key; bias f32, broadcastable to [b, h, t, s]. out [b, t, h, d]; lse [b, h, t] is the log of
   * each row's sum, for the backward pass. A row that sees no key gives zeros.
   */
  attention(
    q: Operand,
    k: Operand,
    v: Operand,
    mask: Operand | undefined,
    bias: Operand | undefined,
    options: AttentionOptions,
    out: Operand,
    lse: Operand,
  ): void;
  /** dq, dk, dv (and dbias [b, h, t, s] if requested) of `attention`. */
  attentionGrad(
    q: Operand,
    k: Operand,
    v: Operand,
    mask: Operand | undefined,
    bias: Operand | undefined,
    options: AttentionOptions,
    out: Operand,
    lse: Operand,
    g: Operand,
    dq: Operand,
    dk: Operand,
    dv: Operand,
    dbias: Operand | undefined,
  ): void;

  /**
   * Per row of logits [rows, v] with labels i32 [rows]: loss = lse − (1 − s) · logit[label] − s · mean(logits), s the label
   * smoothing; label −100 gives 0. loss, lse: [rows].
   */
  crossEntropy(logits: Operand, labels: Operand, smoothing: number, loss: Operand, lse: Operand): void;
  /** dlogits = g[row] · (softmax − (1 − s) · onehot − s/v); rows with label −100 are 0. dlogits may be the logits. */
  crossEntropyGrad(
    logits: Operand,
    labels: Operand,
    smoothing: number,
    lse: Operand,
    g: Operand,
    dlogits: Operand,
  ): void;

  /** out = silu(gate) ⊙ up. */
  swiglu(gate: Operand, up: Operand, out: Operand): void;
  /** Derivatives of silu(gate) · up for g. */
  swigluGrad(gate: Operand, up: Operand, g: Operand, dgate: Operand, dup: Operand): void;

  /** f32 uniform in [0, 1): the top 24 bits of word i of the key's stream (`bitsAt`), times 2^-24. */
  uniform(key: Key, out: Operand): void;

  /**
   * The un-normalised Walsh–Hadamard transform of each row of the last axis, whose length is a power of two:
   * out_i = Σ_j (−1)^(bits of i and j) x_j. Absent where a backend does not implement it.
   */
  walshHadamard?(x: Operand, out: Operand): void;
  /** out [D] = first D of H (G ⊙ t[Π mod k]) / √(D Σ G²), row by row of t [⌈D / K⌉, k]. May be absent. */
  fastfood?(t: Operand, shape: FastfoodShape, out: Operand): void;
  /** Its transpose: t [⌈D / K⌉, k] from g [D]. Present where `fastfood` is. */
  fastfoodTranspose?(g: Operand, shape: FastfoodShape, t: Operand): void;

  /** One AdamW step: reads parameter, gradient and both moments, writes the next parameter and moments. */
  adamw(
    parameter: Operand,
    gradient: Operand,
    first: Operand,
    second: Operand,
    options: AdamWOptions,
    nextParameter: Operand,
    nextFirst: Operand,
    nextSecond: Operand,
  ): void;

  /**
   * Thin QR of x [m, n], k = min(m, n): q [m, k] with orthonormal columns, r [k, n] upper triangular with no
   * negative entries on its diagonal. Absent where a backend does not implement it.
   */
  qr?(x: Operand, q: Operand, r: Operand): void;
  /**
   * Thin SVD of x [m, n]: u [m, k], s [k] in descending order, vt [k, n], all k singular vectors orthonormal
   * whatever the rank. In each column of u the entry of largest magnitude is positive.
   *
   * @throws {RangeError} when x has an entry that is not finite.
   */
  svd?(x: Operand, u: Operand, s: Operand, vt: Operand): void;
  /** out (one element) = the element of x at position `rank` (from 0) in ascending order. */
  orderStatistic?(x: Operand, rank: number, out: Operand): void;
}

/**
 * Thrown when tensors of one expression are on different backends.
 *
 * @example
 * ```ts
 * import { BackendMismatchError, reference, tensor } from "@graft/peft";
 * import { add } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const [x, y] = [tensor([1], { backend: reference() }), tensor([2], { backend: reference() })];
 * assert.throws(() => add(x, y), BackendMismatchError); // two backends, though of one kind
 * ```
 */
export class BackendMismatchError extends TypeError {
  /** What went wrong, for programs. */
  readonly code: "BACKEND_MISMATCH" = "BACKEND_MISMATCH";

  /** Identifies the error class. */
  override readonly name = "BackendMismatchError";
}
