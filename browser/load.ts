/**
 * Models from files that a page has fetched: no path, no permission.
 *
 * @module
 */
import {
  type Backend,
  castTo,
  dispose,
  fromBytes,
  type Model,
  type ModelConfig,
  newModel,
  scope,
  type Synchronous,
  type Tensor,
} from "../core/mod.ts";
import { bytesSource } from "../formats/byte_source.ts";
import { openSafetensors } from "../formats/safetensors.ts";
import { type Tokenizer, tokenizer } from "../formats/tokenizer.ts";
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
 * A model from its files, as `loadModel` makes it of a folder.
 *
 * @throws {RangeError} when the architecture is not known, or a weight is missing, unexpected or of the wrong shape.
 * @throws {SyntaxError} when the weights are no safetensors file.
 * @example
 * ```ts
 * import { generate, wasm } from "@graft/peft";
 * import { modelFromFiles } from "@graft/peft/browser";
 *
 * // A page fetches these.
 * const bytes = (name: string) => Deno.readFileSync(`embedded/model/${name}`);
 * const json = (name: string) => JSON.parse(new TextDecoder().decode(bytes(name)));
 * const backend = await wasm({ threads: 1 });
 * const files = {
 *   config: json("config.json"), weights: bytes("model.safetensors"), tokenizer: json("tokenizer.json"),
 * };
 * const model = modelFromFiles(files, backend);
 * await generate(model, "Agent: Hello", { maxNewTokens: 2 });
 * model.dispose();
 * backend.close();
 * ```
 */
export function modelFromFiles(files: ModelFiles, backend: Backend): Model<Tokenizer> {
  const { architecture, spec, weightPath } = architectureOf(files.config);
  const file = openSafetensors(bytesSource("model.safetensors", files.weights));
  const places = [...spec.linears, ...spec.norms, ...spec.embeddings, ...spec.heads];
  const known = new Set(places.flatMap(({ path }) => [`${path}.weight`, `${path}.bias`]));
  const tied = new Set(spec.heads.filter((h) => h.tiedTo !== undefined).map((h) => `${h.path}.weight`));
  const weights: (readonly [string, Tensor])[] = [];
  try {
    for (const stored of file.tensors.values()) {
      const path = weightPath(stored.name);
      if (path === undefined || tied.has(path)) continue;
      if (!known.has(path)) {
        throw new RangeError(
          `The weights have a tensor "${stored.name}" that no place of ${architecture.name} takes`,
        );
      }
      const { shape, dtype } = stored;
      // Matrices stay as they are stored, vectors become f32.
      weights.push([
        path,
        scope((): Synchronous<Tensor> => {
          const leaf = fromBytes(stored.read(), shape, dtype, backend);
          return shape.length === 1 ? castTo(leaf, "f32") : leaf;
        }),
      ]);
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
