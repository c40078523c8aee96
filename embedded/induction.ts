/**
 * A start from which a small transformer copies at once. Trained from noise, it first spends millions of
 * tokens to find induction heads (Olsson et al. 2022, arXiv 2209.11895); here its first two layers hold some
 * by construction, in the sense of mimetic initialization (Trockman and Kolter 2023, arXiv 2305.09828), beside
 * the noise of everything else:
 *
 *     layer 0    attends one token back by rotary phase alone, and adds P times that token to the residual
 *     layer 1    its queries are a token, its keys P⁻¹ of the residual: it attends to what followed the same
 *                token earlier, and adds that to the residual, which a tied head reads as the next token
 *
 * P permutes the dimensions. Heads of layer 1 compare different dimensions, at rotary frequencies so low that
 * the distance hardly matters. Training goes on from there and may change every number.
 */
import { fromBytes, leaves, type ModelConfig, nest, read, type Tensor, type Tree } from "../core/mod.ts";
import { fold, type Key } from "../tensor/key.ts";
import { permutation } from "../train/shuffle.ts";

/** Numbers of a matrix. */
export type Numbers = readonly (readonly [row: number, column: number, value: number])[];

/** Deviations of the noise: of matrices that write to the residual, of other ones, and of the embeddings. */
const WRITING = 0.001;
const NOISE = 0.015;
const EMBEDDING = 0.05;
/** The value of their first dimension: a constant by which layer 0 knows positions without tokens. */
const CONSTANT = 0.35;
/** By how many nats the previous token stands above its neighbours. */
const MARGIN = 8;
/** Factors of keys and queries, and of what is copied. */
const GAIN = 3;
const COPY = 0.5;

interface Shape {
  readonly width: number;
  readonly vocabulary: number;
  readonly heads: number;
  readonly groups: number;
  readonly size: number;
  readonly frequencies: readonly number[];
}

/**
 * Parameters to start from: the noise of `params` at the deviations above, with induction heads.
 *
 * @param params Every weight of a Llama with at least two layers and a tied head, normal with any deviation.
 */
export async function copyingStart(params: Tree, config: ModelConfig, key: Key): Promise<Tree> {
  const heads = inductionHeads(config, key);
  const started = [];
  for (const [path, leaf] of leaves(params)) {
    const values = Float32Array.from(await read(leaf));
    if (leaf.shape.length === 2) {
      const factor = deviationOf(path) / deviation(values);
      values.forEach((x, i) => values[i] = x * factor);
    }
    const columns = leaf.shape.at(-1)!;
    for (const [row, column, value] of heads.get(path) ?? []) values[row * columns + column] = value;
    started.push([path, reshaped(values, leaf)] as const);
  }
  return nest(started) as Tree;
}

/** What stands in a Llama amid the noise, by path. */
export function inductionHeads(config: ModelConfig, key: Key): ReadonlyMap<string, Numbers> {
  const shape = shapeOf(config);
  const place = permutation(shape.width, fold(key, "place"));
  const layer = (i: number, name: string): string => `model.layers.${i}.self_attn.${name}_proj.weight`;
  const { vocabulary, heads, groups, size } = shape;
  const passed = Array.from({ length: groups * size - 1 }, (_, i) => [i + 1, i + 1, 1] as const); // not the constant
  const written = (factor: number, to: (dimension: number) => number): Numbers =>
    everyHead(shape, (head, group) =>
      Array.from(
        { length: size },
        (_, i) => [to(group * size + i), head * size + i, factor * groups / heads] as const,
      ));
  return new Map([
    [
      "model.embed_tokens.weight",
      Array.from({ length: vocabulary }, (_, token) => [token, 0, CONSTANT] as const),
    ],
    [layer(0, "q"), everyHead(shape, (head) => phase(shape, head, 1))],
    [layer(0, "k"), everyGroup(shape, (group) => phase(shape, group, 0))],
    [layer(0, "v"), passed],
    [layer(0, "o"), written(EMBEDDING, (dimension) => place[dimension]!)],
    [layer(1, "q"), everyHead(shape, (head, group) => content(shape, head, group, (i) => i))],
    [layer(1, "k"), everyGroup(shape, (group) => content(shape, group, group, (i) => place[i]!))],
    [layer(1, "v"), passed],
    [layer(1, "o"), written(COPY, (dimension) => dimension)],
  ]);
}

function shapeOf(config: ModelConfig): Shape {
  const numberOf = (field: string): number => config[field] as number;
  const [width, vocabulary] = [numberOf("hidden_size"), numberOf("vocab_size")];
  const [heads, groups] = [numberOf("num_attention_heads"), numberOf("num_key_value_heads")];
  const theta = numberOf("rope_theta");
  const size = width / heads;
  return {
    width,
    vocabulary,
    heads,
    groups,
    size,
    frequencies: Array.from({ length: size / 2 }, (_, i) => theta ** (-2 * i / size)),
  };
}

function everyHead(
  { heads, groups }: Shape,
  of: (head: number, group: number) => Numbers,
): Numbers {
  return Array.from({ length: heads }, (_, head) => of(head, Math.floor(head * groups / heads))).flat();
}

function everyGroup({ groups }: Shape, of: (group: number) => Numbers): Numbers {
  return Array.from({ length: groups }, (_, group) => of(group)).flat();
}

/** Rows of a head that read the constant as a phase: that of a query `back` tokens behind its own. */
function phase({ width, size, frequencies }: Shape, head: number, back: number): Numbers {
  const fast = frequencies.flatMap((w, i) => w > 0.05 ? [[w, i] as const] : []);
  const drop = fast.reduce((sum, [w]) => sum + 1 - Math.cos(w), 0);
  const constant = CONSTANT / Math.sqrt((CONSTANT ** 2 + (width - 1) * EMBEDDING ** 2) / width);
  const radius = Math.sqrt(MARGIN * Math.sqrt(size) / drop) / constant;
  return fast.flatMap(([w, i]) => [
    [head * size + i, 0, radius * Math.cos(back * w)],
    [head * size + size / 2 + i, 0, -radius * Math.sin(back * w)],
  ]);
}

/** Rows of a head that read dimensions of a token, a different set for each group; the constant is none. */
function content(
  { size, groups, frequencies }: Shape,
  head: number,
  group: number,
  from: (dimension: number) => number,
): Numbers {
  const slow = frequencies.flatMap((w, i) => w < 0.004 ? [i, size / 2 + i] : []);
  return slow.map((slot, i) => [
    head * size + slot,
    from((group * slow.length + i) % (groups * size - 1) + 1),
    GAIN,
  ]);
}

function deviationOf(path: string): number {
  return path.includes("embed") ? EMBEDDING : /(o|down)_proj\.weight$/.test(path) ? WRITING : NOISE;
}

function deviation(values: Float32Array): number {
  return Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length);
}

function reshaped(values: Float32Array, { shape, backend }: Tensor): Tensor {
  return fromBytes(new Uint8Array(values.buffer), shape, "f32", backend);
}
