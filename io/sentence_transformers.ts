/**
 * Folders of sentence-transformers: a model with `modules.json`, how its states become a vector, and prompts that are put before
 * texts. Modules beside the transformer, its pooling and the normalisation are refused.
 */
import { mkdirSync } from "node:fs";
import { type Batch, dispose, type Model, read, scope, type Synchronous, type Tensor } from "../core/mod.ts";
import { writeTextAtomically } from "../formats/atomic_write.ts";
import type { Tokenizer } from "../formats/tokenizer.ts";
import { contextLength, embed, type EmbedOptions } from "../models/mod.ts";
import { loadModel, type LoadOptions } from "./load_model.ts";
import { localPath } from "./local_path.ts";
import { saveModel } from "./save_model.ts";
import { type EmbeddingForm, embeddingForm, POOLING_NAMES } from "./embedding_form.ts";
import { rangeError } from "../errors/error.ts";

/** A model that makes vectors of texts. */
export interface Embedder extends EmbeddingForm {
  /** The model. */
  readonly model: Model<Tokenizer>;
  /** Frees the model. */
  dispose(): void;
}

/**
 * Loads a folder of sentence-transformers, or makes the same of any other model: then the mean of the states for a model with an
 * encoder, the last token's state for a decoder, both of length 1.
 *
 * @param source A folder or hub id.
 * @throws {RangeError} when it has modules that are not supported; the message names them.
 * @example
 * ```ts
 * import { loadEmbedder, embedTexts } from "@graft/peft/io";
 * import { reference } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const embedder = await loadEmbedder("embedded/model", { backend: reference() });
 * const [vector] = await embedTexts(embedder, ["where is my parcel?"]);
 * assert.ok(Math.abs(Math.hypot(...vector!) - 1) < 1e-5);
 * embedder.dispose();
 * ```
 */
export async function loadEmbedder(source: string, options: LoadOptions): Promise<Embedder> {
  const path = await localPath(source);
  const form = await embeddingForm(path);
  const plain = await loadModel(path, options);
  const encodes = !plain.spec.stacks.some(({ stack }) => stack === "decoder");
  if (encodes && plain.spec.heads.length > 0) plain.dispose();
  const model = encodes && plain.spec.heads.length > 0
    ? await loadModel(path, { ...options, task: { kind: "embed" } })
    : plain;
  return {
    ...embedderOf(model, { pooling: encodes ? "mean" : "last", ...form }),
    dispose: () => model.dispose(),
  };
}

/**
 * An embedder of a model that is loaded already, grafted or not. Disposing it frees nothing.
 *
 * @param form Default: the mean of the states, of length 1, no prompts, texts as long as the model reads.
 * @example
 * ```ts
 * import { loadModel, reference } from "@graft/peft";
 * import { embedderOf } from "@graft/peft/io";
 * import assert from "node:assert/strict";
 * const model = await loadModel("embedded/model", { backend: reference() });
 * assert.equal(embedderOf(model, { pooling: "last", maxLength: 64 }).maxLength, 64);
 * model.dispose();
 * ```
 */
export function embedderOf(model: Model<Tokenizer>, form: Partial<EmbeddingForm>): Embedder {
  const { pooling = "mean", normalize = true, prompts = {}, defaultPrompt, maxLength } = form;
  const most = Math.min(contextLength(model), maxLength ?? Infinity);
  return {
    model,
    ...{ pooling, normalize, prompts, maxLength: most },
    ...defaultPrompt !== undefined && { defaultPrompt },
    dispose: () => {},
  };
}

/** The ids of a text with a prompt before it, cut at the embedder's length but for the special token at the end. */
export function embeddedIds(
  { model: { tokenizer }, prompts, defaultPrompt, maxLength }: Embedder,
  text: string,
  prompt: string | undefined = defaultPrompt,
): readonly number[] {
  const before = prompt === undefined ? "" : prompts[prompt];
  if (before === undefined) {
    const known = Object.keys(prompts).map((name) => `"${name}"`).join(", ") || "none";
    throw rangeError("INVALID_ARGUMENT", `Cannot use the prompt "${prompt}": the model has ${known}`);
  }
  const ids = tokenizer.encode(before + text, { addSpecialTokens: false });
  const around = tokenizer.wrap([]).ids.length;
  return tokenizer.wrap(ids.slice(0, Math.max(0, maxLength - around))).ids;
}

/** Vectors of a batch [b, d], as the embedder makes them. */
export function embedBatch(embedder: Embedder, batch: Batch, options: EmbedOptions = {}): Tensor {
  const { pooling, normalize } = embedder;
  return embed(embedder.model, batch, { ...options, pooling, length: normalize ? "unit" : "free" });
}

/**
 * The vectors of texts, in their order.
 *
 * @param options `prompt`: the name of the prompt before each; `batchSize`: texts in a pass, default 16.
 * @throws {RangeError} when there is no such prompt.
 * @example
 * ```ts
 * import { freshModel, loadModel, reference } from "@graft/peft";
 * import { embedderOf, embedTexts } from "@graft/peft/io";
 * import assert from "node:assert/strict";
 * const model = await loadModel("embedded/model", { backend: reference() });
 * const embedder = embedderOf(model, { pooling: "mean", prompts: { query: "query: " } });
 * const [plain, asked] = [await embedTexts(embedder, ["parcel"]), await embedTexts(embedder, ["parcel"], { prompt: "query" })];
 * assert.notDeepEqual(plain, asked);
 * model.dispose();
 * ```
 */
export async function embedTexts(
  embedder: Embedder,
  texts: readonly string[],
  { prompt, batchSize = 16 }: { readonly prompt?: string; readonly batchSize?: number } = {},
): Promise<readonly Float32Array[]> {
  const rows = texts.map((text) => embeddedIds(embedder, text, prompt));
  const order = rows.map((_, i) => i).sort((a, b) => rows[b]!.length - rows[a]!.length);
  const found: Float32Array[] = [];
  for (let start = 0; start < order.length; start += batchSize) {
    const numbers = order.slice(start, start + batchSize);
    const batch = paddedBatch(numbers.map((n) => rows[n]!), embedder.model.tokenizer.pad ?? 0);
    const vectors = scope((): Synchronous<Tensor> => embedBatch(embedder, batch));
    const values = await read(vectors);
    const width = vectors.shape[1]!;
    dispose(vectors);
    numbers.forEach((n, i) => found[n] = Float32Array.from(values.slice(i * width, (i + 1) * width)));
    await new Promise((resolve) => setTimeout(resolve)); // a server's other work runs in between
  }
  return found;
}

/** Rows padded on the right. */
export function paddedBatch(rows: readonly (readonly number[])[], pad: number): Batch {
  const width = Math.max(1, ...rows.map((row) => row.length));
  const filled = (values: readonly number[], filler: number): readonly number[] => [
    ...values,
    ...new Array<number>(width - values.length).fill(filler),
  ];
  return {
    inputIds: rows.map((row) => filled(row, pad)),
    attentionMask: rows.map((row) => filled(row.map(() => 1), 0)),
  };
}

/**
 * Writes an embedder as a folder that sentence-transformers loads.
 *
 * @throws as `saveModel`.
 * @example
 * ```ts
 * import { loadEmbedder, saveEmbedder } from "@graft/peft/io";
 * import { reference } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const embedder = await loadEmbedder("embedded/model", { backend: reference() });
 * const folder = `${await Deno.makeTempDir()}/embedder`;
 * await saveEmbedder(folder, embedder);
 * const again = await loadEmbedder(folder, { backend: reference() });
 * assert.deepEqual([again.pooling, again.normalize], ["last", true]);
 * ```
 */
export async function saveEmbedder(folder: string, embedder: Embedder): Promise<void> {
  const { model, pooling, normalize, prompts, defaultPrompt, maxLength } = embedder;
  await saveModel(folder, model);
  const write = (name: string, value: unknown): Promise<void> =>
    writeTextAtomically(`${folder}/${name}`, `${JSON.stringify(value, null, 2)}\n`);
  const types = ["Transformer", "Pooling", ...normalize ? ["Normalize"] : []];
  await write(
    "modules.json",
    types.map((type, idx) => ({
      idx,
      name: String(idx),
      path: idx === 0 ? "" : `${idx}_${type}`,
      type: `sentence_transformers.models.${type}`,
    })),
  );
  mkdirSync(`${folder}/1_Pooling`, { recursive: true });
  await write("1_Pooling/config.json", {
    word_embedding_dimension: model.spec.embeddings[0]!.width,
    ...Object.fromEntries(
      Object.entries(POOLING_NAMES).map(([name, mode]) => [`pooling_mode_${name}`, mode === pooling]),
    ),
  });
  await write("sentence_bert_config.json", { max_seq_length: maxLength, do_lower_case: false });
  await write("config_sentence_transformers.json", {
    prompts,
    default_prompt_name: defaultPrompt ?? null,
    similarity_fn_name: "cosine",
  });
}
