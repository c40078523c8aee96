/** A batch as seen by a stack: positions, hidden tokens, packed texts, and checks that it fits. */
import { type Batch, type Cache, type ForwardOptions, type Model, type Tensor, tensor } from "../core/mod.ts";
import { concat, full, reshape } from "../ops/mod.ts";
import { rangeError, typeError } from "../errors/error.ts";

/** Rows of the prompts before the embedded text, before where it enters the blocks, and after its first token there. */
export type PromptLengths = readonly [front: number, entering: number, afterFirst: number];

/**
 * Positions of new prompt rows and new tokens, the first of which is `start`: prefixes occupy those before. Given positions
 * count a text's own tokens, the first of which comes after all rows before the text, also when these are in the cache.
 */
export function positionsOf(
  batch: Batch,
  lengths: PromptLengths,
  start: number,
  past: number,
): Readonly<Record<"positions" | "inBlocks", readonly (readonly number[])[]>> {
  const [own, entering, afterFirst] = lengths;
  const front = Array.from({ length: past > 0 ? 0 : own }, (_, i) => start + i);
  // Of what the cache holds, rows that entered the blocks have no position here.
  const before = start + (past > 0 ? past - entering - afterFirst : own);
  const positions = batch.positionIds?.map((row) => [...front, ...row.map((p) => start + own + p)]) ??
    [[...front, ...batch.inputIds[0]!.map((_, i) => before + i)]];
  return { positions, inBlocks: blockPositions(positions, lengths, past) };
}

/**
 * Positions of all rows within the blocks, for rotary tables and relative distances: rows that enter there have some, too.
 */
function blockPositions(
  positions: readonly (readonly number[])[],
  [front, entering, afterFirst]: PromptLengths,
  past: number,
): readonly (readonly number[])[] {
  const all = entering + afterFirst;
  if (all === 0) return positions;
  if (past > 0) return positions.map((row) => row.map((p) => p + all));
  const run = (from: number, n: number): readonly number[] => Array.from({ length: n }, (_, i) => from + i);
  return positions.map((row) => {
    const before = row.slice(0, front);
    const [first = 0, ...rest] = row.slice(front).map((p) => p + entering);
    const behind = run(first + 1, afterFirst);
    return [
      ...before,
      ...run(first - entering, entering),
      first,
      ...behind,
      ...rest.map((p) => p + afterFirst),
    ];
  });
}

/**
 * Number of tokens of the longest text by its own positions, regardless of other texts in its row or hidden
 * positions in the cache.
 */
export function ownTokens({ positionIds }: Batch): number | undefined {
  return positionIds?.reduce((most, row) => row.reduce((n, p) => Math.max(n, p + 1), most), 0);
}

/** f32 [b, s] over cached, prompt and new positions; undefined when nothing is hidden. */
export function maskOf(
  batch: Batch,
  cache: Cache | undefined,
  prompts: number,
  model: Model,
): Tensor | undefined {
  const hidden = batch.attentionMask?.some((row) => row.includes(0)) ?? false;
  if (!hidden && cache?.mask === undefined) return undefined;
  const [b, t] = [batch.inputIds.length, batch.inputIds[0]!.length];
  const now = batch.attentionMask === undefined
    ? full([b, t], 1, model.backend)
    : reshape(fromRows(batch.attentionMask, model), [b, t]);
  const past = cache === undefined
    ? prompts > 0 ? [full([b, prompts], 1, model.backend)] : []
    : [cache.mask ?? full([b, cache.length], 1, model.backend)];
  return concat([...past, now], 1);
}

/**
 * f32 [b, t], 1 on the tokens before the first label in a causal model's row; undefined when labels begin
 * with the text in every row, or the model has another kind of labels. A row whose labels begin with the text
 * is 1 throughout.
 */
export function promptMask({ labels, inputIds }: Batch, model: Model): Tensor | undefined {
  if (labels === undefined || model.architecture.labels(model) !== "next") return undefined;
  const first = labels.map((row, i) => {
    const found = typeof row === "number" ? -1 : row.findIndex((id, j) => j > 0 && id !== -100);
    return found > 1 ? found : inputIds[i]!.length;
  });
  if (first.every((n, i) => n === inputIds[i]!.length)) return undefined;
  const flat = inputIds.flatMap((row, i) => row.map((_, j) => j < first[i]! ? 1 : 0));
  return reshape(fromRows([flat], model), [inputIds.length, inputIds[0]!.length]);
}

/** 0 between tokens of one packed text, −1e9 across texts: [b, 1, t, s]. */
export function packing(batch: Batch, prompts: number, model: Model): Tensor | undefined {
  if (batch.segmentIds === undefined) return undefined;
  if (prompts > 0) {
    throw rangeError(
      "INVALID_BATCH",
      "Cannot pack texts under a prompt: each text would need its own; use buckets",
    );
  }
  const t = batch.inputIds[0]!.length;
  const flat = batch.segmentIds.flatMap((row) => row.flatMap((q) => row.map((k) => q === k ? 0 : -1e9)));
  return reshape(fromRows([flat], model), [batch.inputIds.length, 1, t, t]);
}

function fromRows(rows: readonly (readonly number[])[], model: Model): Tensor {
  return tensor(Float32Array.from(rows.flat()), { backend: model.backend });
}

/**
 * @throws {RangeError} on ragged rows, unknown ids, or when `total` tokens, `before` of them prompts and
 * prefixes, exceed the context.
 */
export function checkBatch(
  batch: Batch,
  parts: { readonly stack: string; readonly vocabulary: number; readonly context: number },
  total: number,
  before: number,
  options: ForwardOptions,
): void {
  const width = batch.inputIds[0]?.length ?? 0;
  if (width === 0) {
    throw rangeError("INVALID_BATCH", "Expected at least one token in every row of inputIds but found none");
  }
  for (const [i, row] of batch.inputIds.entries()) {
    if (row.length !== width) {
      throw rangeError(
        "INVALID_BATCH",
        `Expected rows of equal length but row 0 has ${width} ids and row ${i} has ${row.length}: pad them`,
      );
    }
    const bad = row.find((id) => !(Number.isInteger(id) && id >= 0 && id < parts.vocabulary));
    if (bad !== undefined) {
      throw rangeError(
        "INVALID_BATCH",
        `Expected token ids from 0 to ${parts.vocabulary - 1} but row ${i} has ${bad}`,
      );
    }
  }
  for (const name of ["attentionMask", "positionIds", "segmentIds", "tokenTypeIds"] as const) {
    const rows = batch[name];
    if (rows === undefined) continue;
    if (rows.length !== batch.inputIds.length || rows.some((row) => row.length !== width)) {
      throw rangeError(
        "INVALID_BATCH",
        `Expected ${name} of the shape of inputIds [${batch.inputIds.length}, ${width}]`,
      );
    }
  }
  if (total > parts.context) {
    throw rangeError(
      "TEXT_TOO_LONG",
      `The text has ${total} tokens but the model's context holds ${parts.context}: shorten it` +
        (before > 0 ? `, or what stands before it at "${parts.stack}", which takes ${before} of them` : ""),
    );
  }
  if (options.train === true && options.key === undefined) {
    throw typeError(
      "INVALID_BATCH",
      "Expected a key for a pass with train: true, since dropout and routing are functions of it",
    );
  }
}
