/** The `adapter_config.json` of an adapter. */
import { type MatrixPlace, type Model, nameMatches } from "../../core/mod.ts";
import type { MainPart, PeftFields } from "../../methods/peft/codec.ts";
import { modulesEndingWith, modulesNamed, outermost } from "../../methods/peft/modules.ts";
import { ROWS } from "../../methods/peft_beside.ts";
import { taskType } from "../../models/mod.ts";
import { replicationField } from "../layer_replication.ts";
import type { FolderParts } from "./folder_parts.ts";
import type { AdapterParts } from "./parts.ts";
import { rangeError, typeError } from "../../errors/error.ts";

/**
 * PEFT's name of the type, and the fields.
 *
 * @throws {TypeError} when there are only whole modules.
 * @throws {RangeError} when PEFT would load something else from these fields, or nothing.
 */
export function configOf(
  { parts, targets }: AdapterParts,
  model: Model,
): { readonly type: string; readonly fields: PeftFields } {
  const { main, biases, saved, tokens, fixed = [] } = parts;
  const common = {
    base_model_name_or_path: model.source ?? null,
    task_type: taskType(model),
  };
  if (main === undefined) {
    if (tokens === undefined || saved !== undefined) {
      throw typeError(
        "CANNOT_SAVE",
        "Cannot save whole modules alone as a PEFT folder: merge them and save the model",
      );
    }
    return { type: ROWS.type, fields: { ...common, ...ROWS.fields(tokens, model.spec) } };
  }
  const follows = model.spec.heads.some((head) =>
    head.tiedTo !== undefined && !fixed.includes(`${head.path}.weight`) && saved !== undefined &&
    savedAlone(saved.modules, head.tiedTo, head.path)
  );
  if (follows && !Object.hasOwn(main.fields, "ensure_weight_tying")) {
    throw rangeError(
      "CANNOT_SAVE",
      `Cannot save the tied embedding beside ${main.type}: PEFT unties it there; save both tables`,
    );
  }
  const replicated = replicationField(model);
  checkReplicated(main, biases, replicated, model);
  const modules = saved === undefined ? null : namesForPeft(saved.modules, model);
  checkOverlap(main.places, modules ?? []);
  return {
    type: main.type,
    fields: {
      ...common,
      ...main.fields,
      ...targets,
      ...replicated,
      ...biases && { bias: biases === "all" ? "all" : main.biases! },
      ...(modules !== null || Object.hasOwn(main.fields, "modules_to_save")) && { modules_to_save: modules },
      ...Object.hasOwn(main.fields, "trainable_token_indices") && {
        trainable_token_indices: tokens === undefined ? null : tokens.tokens,
      },
      ...Object.hasOwn(main.fields, "ensure_weight_tying") && { ensure_weight_tying: follows },
    },
  };
}

/** PEFT replicates layers only for LoRA, and the biases of copies share storage. */
function checkReplicated(
  main: MainPart,
  biases: FolderParts["biases"],
  replicated: ReturnType<typeof replicationField>,
  model: Model,
): void {
  if (replicated.layer_replication === undefined) return;
  if (!Object.hasOwn(main.fields, "layer_replication")) {
    throw rangeError(
      "CANNOT_SAVE",
      `Cannot save ${main.type} on replicated layers for PEFT, which has them for LoRA alone: save the deeper model with saveModel and ` +
        "take that as the base",
    );
  }
  const trained = biases !== undefined || main.tensors.some(({ path }) => path.endsWith(".bias"));
  const sources = model.spec.blocks.map(({ of }) => of);
  if (trained && new Set(sources).size < sources.length) {
    throw rangeError(
      "CANNOT_SAVE",
      "Cannot save trained biases on replicated layers for PEFT, where copies of a layer share them: save the deeper model with " +
        "saveModel and take that as the base",
    );
  }
}

/** Names that choose the same modules in PEFT, none nested in another, which it could not load. */
function namesForPeft(names: readonly string[], model: Model): readonly string[] {
  const all = modulesNamed(names, model);
  const outer = all.filter((path) => outermost(all, path) === path);
  const short = names.filter((name) => outer.some((path) => nameMatches(name, path)));
  return modulesEndingWith(short, model).length === outer.length ? short : outer;
}

/** PEFT never adapts a layer inside a saved module. */
function checkOverlap(places: readonly MatrixPlace[], modules: readonly string[]): void {
  const inside = places.find(({ path }) => modules.some((name) => `.${path}.`.includes(`.${name}.`)));
  if (inside !== undefined) {
    throw rangeError(
      "CANNOT_SAVE",
      `Cannot save this adapter for PEFT: "${inside.path}" is adapted and lies in a saved module; exclude it from the targets`,
    );
  }
}

const savedAlone = (modules: readonly string[], one: string, other: string): boolean => {
  const named = (path: string): boolean => modules.some((name) => path === name || path.endsWith(`.${name}`));
  return named(one) && !named(other);
};
