/** `loadModel`: a model from a folder, a GGUF file or a hub id. */
import { stat } from "node:fs/promises";
import {
  type Backend,
  castWeightShape,
  checkQuantization,
  dispose,
  type DType,
  heed,
  isStoredTransposed,
  type Key,
  type Model,
  type ModelConfig,
  newModel,
  quantizationPlan,
  type QuantizeOptions,
  type Tensor,
} from "../core/mod.ts";
import { openCheckpoint } from "../formats/checkpoint.ts";
import { openGguf } from "../formats/gguf.ts";
import { loadTokenizer, type Tokenizer, tokenizer as makeTokenizer } from "../formats/tokenizer.ts";
import { architectureOf, type Task, taskConfig } from "../models/mod.ts";
import { tokenizerFilesOf } from "./gguf_tokenizer_files.ts";
import { localPath } from "./local_path.ts";
import { checkpointTensors, storedLeaf } from "./checkpoint_tensors.ts";
import { missingHead, otherClasses } from "./task_head.ts";

/** Where and how to load. */
export interface LoadOptions {
  /** Where it computes. */
  readonly backend: Backend;
  /** Convert the matrices to this dtype while loading; default: as stored. Vectors become f32. */
  readonly dtype?: DType;
  /**
   * "decoded": codes of a quantized checkpoint become plain numbers on the way in, and take their room. Those of 4-bit
   * bitsandbytes are rounded to the dtype that the checkpoint gives for them (`quant_state.dtype`), which is what bitsandbytes
   * computes with; others become `dtype`, by default f32. Default: codes stay, and products see their f32 numbers.
   */
  readonly codes?: "decoded";
  /** Quantize on the way in, one weight at a time, so that the whole never lies in memory unquantized. As `quantize`. */
  readonly quantize?: QuantizeOptions;
  /**
   * "lazy": each weight is read when it is first needed, for models that are only written to disk and may be
   * larger than memory. The files stay open until the model is disposed. Default: immediately.
   */
  readonly leaves?: "lazy";
  /**
   * The head to load the model with. Parts of it that the checkpoint lacks are randomly initialized; other
   * heads of the checkpoint are ignored. Default: the head that it was saved with.
   */
  readonly task?: Task;
  /** Seed of the head's random initialization, default 0. */
  readonly key?: number | Key;
  /**
   * How a GGUF file's tokenizer behaves. "file" (default): as the file specifies, like llama.cpp and as the
   * model was trained. "transformers": like Python's loader of the same file, which gives a Llama with
   * byte-level BPE the splits of GPT-2 and a start token regardless of the file. The two differ in that
   * token, and in numbers and the white space before them.
   */
  readonly ggufTokenizer?: "transformers" | "file";
  /** Ends a download, or the loading between two weights: the promise rejects with its reason, and all that was read is freed. */
  readonly signal?: AbortSignal;
}

/**
 * Loads a model.
 *
 * @param source A folder with `config.json` and safetensors, a `.gguf` file, or a hub id such as
 * "HuggingFaceTB/SmolLM2-135M" (downloaded once, HF_ENDPOINT honoured).
 * @throws {RangeError} when the architecture is not supported or a weight is missing, unexpected or of the
 * wrong shape.
 * @throws the signal's reason when it is aborted.
 * @example
 * ```ts
 * import { loadModel, reference } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = await loadModel("embedded/model", { backend: reference() });
 * assert.equal(model.config.model_type, "llama");
 * const ids = model.tokenizer.encode("where is my parcel?");
 * assert.equal(model.tokenizer.decode(ids), "where is my parcel?");
 * model.dispose();
 * ```
 */
export async function loadModel(source: string, options: LoadOptions): Promise<Model<Tokenizer>> {
  const { signal } = options;
  signal?.throwIfAborted();
  const path = await localPath(source, { ...signal && { signal } });
  const checkpoint = openCheckpoint(path);
  const weights: (readonly [string, Tensor])[] = [];
  try {
    const saved = checkpoint.config as ModelConfig;
    const config = options.task === undefined ? saved : taskConfig(saved, options.task);
    const known = architectureOf(config);
    const { architecture, spec } = known;
    const plan = options.quantize && quantizationPlan(spec, options.quantize);
    for (
      const [leaf, stored] of checkpointTensors(
        checkpoint.tensors.tensors.values(),
        known,
        "The checkpoint has",
      )
    ) {
      await heed(signal);
      if (options.task !== undefined && otherClasses(spec, leaf, stored.shape)) continue;
      const planned = plan?.get(leaf);
      const inOut = isStoredTransposed(spec, leaf);
      if (planned !== undefined && planned !== stored.dtype) {
        const shape = castWeightShape(stored, planned, inOut);
        checkQuantization(
          leaf,
          { dtype: stored.dtype, shape },
          planned,
          options.quantize!.requantize ?? false,
        );
      }
      weights.push([leaf, storedLeaf(stored, inOut, options, planned)]);
    }
    if (options.task !== undefined) {
      weights.push(...missingHead(spec, weights, options.backend, options.key ?? 0));
    }
    const tokenizer = await tokenizerOf(path, checkpoint.kind, options.ggufTokenizer ?? "file");
    signal?.throwIfAborted();
    const model = newModel({
      architecture,
      spec,
      config,
      weights,
      backend: options.backend,
      source,
      ...tokenizer && { tokenizer },
    });
    if (options.leaves === undefined) {
      checkpoint.tensors.close();
      return model;
    }
    const close = (): void => {
      model.dispose();
      checkpoint.tensors.close();
    };
    return { ...model, dispose: close };
  } catch (error) {
    dispose(weights.map(([, weight]) => weight));
    checkpoint.tensors.close();
    throw error;
  }
}

/**
 * The tokenizer of a local folder or GGUF file without its weights, as loaded by `loadModel` by default;
 * undefined when there is none.
 *
 * @example
 * ```ts
 * import { loadTokenizerOf } from "@graft/peft/io";
 * import assert from "node:assert/strict";
 * const tokenizer = await loadTokenizerOf("embedded/model"); // no weight is read
 * assert.ok(tokenizer!.vocabSize! > 1000);
 * ```
 */
export function loadTokenizerOf(path: string): Promise<Tokenizer | undefined> {
  return tokenizerOf(path, path.endsWith(".gguf") ? "gguf" : "folder", "file");
}

async function tokenizerOf(
  path: string,
  kind: "folder" | "gguf",
  like: "transformers" | "file",
): Promise<Tokenizer | undefined> {
  if (kind === "gguf") {
    const file = openGguf(path);
    try {
      const files = tokenizerFilesOf(file, like);
      return files && makeTokenizer({ ...files, name: `the tokenizer of ${path}` });
    } finally {
      file.close();
    }
  }
  const has = await stat(`${path}/tokenizer.json`).then(() => true, () => false);
  return has ? await loadTokenizer(path) : undefined;
}
