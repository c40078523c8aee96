/**
 * The work of bench/peers/step.ts for libraries that do not have this model: a LoRA step of SmolLM2-135M's
 * shape, as sizes, random weights, tokens and the tables of the rotations, all plain numbers. They are
 * determined by the options alone, so that bench/same_losses.ts can compare the losses of all libraries.
 */

/** Options of the step; the row's are the defaults. */
export interface PlainOptions {
  readonly tokens: number;
  readonly layers: number;
  readonly vocabulary: number;
  readonly learningRate: number;
  /** Print the losses of this many steps and stop, instead of being timed; 0: be timed. */
  readonly losses: number;
}

/** The options of a peer's first argument. */
export function plainOptions(text = "{}"): PlainOptions {
  return { tokens: 128, layers: 30, vocabulary: 49152, learningRate: 1e-4, losses: 0, ...JSON.parse(text) };
}

/** Sizes of SmolLM2-135M that no option changes. */
export const SIZES = { width: 576, inner: 1536, heads: 9, keyValueHeads: 3, headWidth: 64, rank: 8 } as const;
/** ε of RMSNorm. */
export const EPSILON = 1e-5;

/** A matrix of the checkpoint, [rows, columns] = [out, in]. */
export interface PlainMatrix {
  readonly rows: number;
  readonly columns: number;
  readonly values: Float32Array<ArrayBuffer>;
}

/** A projection with LoRA: y = W x + B A x, A [rank, in], B [out, rank]. B is random too, so that A has a gradient. */
export interface PlainLora {
  readonly weight: PlainMatrix;
  readonly a: PlainMatrix;
  readonly b: PlainMatrix;
}

/** A block, its parts in the order in which they are used. */
export interface PlainBlock {
  readonly attentionNorm: PlainMatrix;
  readonly q: PlainLora;
  readonly k: PlainLora;
  readonly v: PlainLora;
  readonly o: PlainLora;
  readonly feedForwardNorm: PlainMatrix;
  readonly gate: PlainMatrix;
  readonly up: PlainMatrix;
  readonly down: PlainMatrix;
}

/** The whole model; the head is the embedding. */
export interface PlainLlama {
  readonly embedding: PlainMatrix;
  readonly blocks: readonly PlainBlock[];
  readonly norm: PlainMatrix;
}

/** Random weights. */
export function plainLlama({ layers, vocabulary }: PlainOptions): PlainLlama {
  const uniform = uniformDraws(1);
  const { width, inner, heads, keyValueHeads, headWidth, rank } = SIZES;
  const matrix = (rows: number, columns: number, middle = 0): PlainMatrix => ({
    rows,
    columns,
    values: uniform(rows * columns, middle, 0.05),
  });
  const norm = (): PlainMatrix => matrix(1, width, 1);
  const lora = (rows: number, columns: number): PlainLora => ({
    weight: matrix(rows, columns),
    a: matrix(rank, columns),
    b: matrix(rows, rank),
  });
  return {
    embedding: matrix(vocabulary, width),
    blocks: Array.from({ length: layers }, (): PlainBlock => ({
      attentionNorm: norm(),
      q: lora(heads * headWidth, width),
      k: lora(keyValueHeads * headWidth, width),
      v: lora(keyValueHeads * headWidth, width),
      o: lora(width, heads * headWidth),
      feedForwardNorm: norm(),
      gate: matrix(inner, width),
      up: matrix(inner, width),
      down: matrix(width, inner),
    })),
    norm: norm(),
  };
}

/**
 * The token ids of one row, as in bench/peers/step.ts. Every token but the first is the label of the one
 * before.
 */
export function plainIds({ tokens, vocabulary }: PlainOptions): readonly number[] {
  return Array.from({ length: tokens }, (_, t) => (t * 997 + 13) % vocabulary);
}

/** cos and sin of the rotations, each [tokens, head width], both halves alike (Su et al. 2021, base 100000). */
export function rotations(tokens: number): { readonly cos: Float32Array; readonly sin: Float32Array } {
  const half = SIZES.headWidth / 2;
  const table = (f: (angle: number) => number): Float32Array =>
    Float32Array.from({ length: tokens * 2 * half }, (_, i) => {
      const [t, d] = [Math.floor(i / (2 * half)), i % half];
      return f(t * 100000 ** (-d / half));
    });
  return { cos: table(Math.cos), sin: table(Math.sin) };
}

/**
 * Uniform values within ±`spread` of `middle`, one after another from a linear congruential generator
 * (Numerical Recipes).
 */
function uniformDraws(
  seed: number,
): (n: number, middle: number, spread: number) => Float32Array<ArrayBuffer> {
  let state = seed;
  return (n, middle, spread) => {
    const values = new Float32Array(n);
    for (let i = 0; i < n; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) | 0;
      values[i] = middle + spread * state / 2 ** 31;
    }
    return values;
  };
}
