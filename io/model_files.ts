/** Models from files that a page has fetched: no path, no permission. */
import {
  type Backend,
  dispose,
  isStoredTransposed,
  type Model,
  type ModelConfig,
  newModel,
  type Tensor,
} from "../core/mod.ts";
import { bytesSource } from "../formats/byte_source.ts";
import { openSafetensors } from "../formats/safetensors.ts";
import { type Tokenizer, tokenizer } from "../formats/tokenizer.ts";
import { checkpointTensors, storedLeaf } from "./checkpoint_tensors.ts";
import { architectureOf } from "../models/mod.ts";

/** The files of a checkpoint folder: JSON parsed, weights as bytes. */
export interface ModelFiles {
  /** config.json. */
  readonly config: ModelConfig;
  /** model.safetensors. */
  readonly weights: Uint8Array;
  /** tokenizer.json. */
  readonly tokenizer: unknown;
  /** tokenizer_config.json. */
  readonly tokenizerConfig?: unknown;
}

/**
 * A model from its files, as `loadModel` creates it from a folder.
 *
 * @throws {RangeError} when the architecture is not supported, or a weight is missing, unexpected or of the
 * wrong shape.
 * @throws {SyntaxError} when the weights are not a safetensors file.
 * @example
 * ```ts
 * import { generate, wasm } from "@graft/peft";
 * import { modelFromFiles } from "@graft/peft/browser";
 * import assert from "node:assert/strict";
 * const bytes = (name: string) => Deno.readFileSync(`embedded/model/${name}`); // a page fetches these
 * const json = (name: string) => JSON.parse(new TextDecoder().decode(bytes(name)));
 * const files = { config: json("config.json"), weights: bytes("model.safetensors"), tokenizer: json("tokenizer.json") };
 * const backend = await wasm({ threads: 1 });
 * const model = modelFromFiles(files, backend);
 * assert.ok((await generate(model, "Agent: Hello", { maxNewTokens: 2 })).length > 0);
 * model.dispose();
 * backend.close();
 * ```
 */
export function modelFromFiles(files: ModelFiles, backend: Backend): Model<Tokenizer> {
  const known = architectureOf(files.config);
  const { architecture, spec } = known;
  const file = openSafetensors(bytesSource("model.safetensors", files.weights));
  const weights: (readonly [string, Tensor])[] = [];
  try {
    for (const [path, stored] of checkpointTensors(file.tensors.values(), known, "The weights have")) {
      weights.push([path, storedLeaf(stored, isStoredTransposed(spec, path), { backend })]);
    }
    return newModel({
      ...{ architecture, spec, config: files.config, weights, backend },
      tokenizer: tokenizer({ tokenizer: files.tokenizer, config: files.tokenizerConfig }),
    });
  } catch (error) {
    dispose(weights.map(([, leaf]) => leaf));
    throw error;
  }
}
