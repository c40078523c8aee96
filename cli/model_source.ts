/** Which model a command means: the one it is given, or the one that its adapter was trained on. */
import { existsSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { baseModelName } from "../io/base_model_name.ts";
import { hubId } from "../io/hub/download.ts";
import { UsageError } from "../tuning/usage_error.ts";
import { embeddedModel } from "./embedded_model.ts";

/** Flag and help of `--model`. */
export const modelOption = (otherwise?: string): [flag: string, help: string] => [
  "-m, --model <path|id>",
  `folder, .gguf, hub id or "embedded"${otherwise === undefined ? "" : `; default ${otherwise}`}`,
];

/** What stands for `--model` in commands that take an adapter. */
export const ADAPTERS_BASE = "the adapter's base";

/** What a command says of its model. */
export interface ModelChoice {
  readonly model?: string;
  /** The adapter that is put on it. */
  readonly adapter?: string;
}

/** The name of the small model that comes with graft, which knows nothing but customers' conversations. */
const EMBEDDED = "embedded";

/**
 * A path or hub id.
 *
 * @throws {UsageError} when neither a model is given nor one is named by the adapter, or the one meant is not here.
 */
export async function modelSource({ model, adapter }: ModelChoice): Promise<string> {
  if (model !== undefined) return model === EMBEDDED ? await embeddedModel() : model;
  if (adapter === undefined) {
    throw new UsageError(
      "Expected --model: a folder, a .gguf file or a hub id such as HuggingFaceTB/SmolLM2-135M-Instruct; " +
        '"--model embedded" is the small one for trying things',
    );
  }
  const named = await baseModelName(adapter);
  if (named === undefined) {
    throw new UsageError(`Expected --model: the adapter "${adapter}" does not say which model it belongs to`);
  }
  // A relative path is relative to where the adapter was trained, which is often here, or to its folder.
  const found = [resolve(named), resolve(adapter, named), resolve(dirname(adapter), named)].find(existsSync);
  if (found !== undefined) return found;
  if (hubId(named) !== undefined) return named;
  throw new UsageError(`Expected --model: the adapter "${adapter}" belongs to "${named}", which is not here`);
}
