/**
 * Whole modules that are trained along with an adapter (PEFT's `modules_to_save`): every weight under the
 * named modules is trained, as in full fine-tuning. A tied head named here gets a matrix of its own; the
 * embedding keeps the shared one.
 */
import {
  type DefinedMethod,
  defineMethod,
  type Edit,
  fn,
  type HeadPlace,
  type Json,
  leaves,
  type LinearEdit,
  lookup,
  type Model,
  nameMatches,
  nest,
  replaceLeaf,
  type Spec,
  Tensor,
  trainableCopy,
  type Tree,
  weightLeaves,
} from "../../core/mod.ts";
import { anything, fields, list, needed, option, record, text } from "../../core/options/mod.ts";
import { add, matmul, subtract } from "../../ops/mod.ts";
import { rangeError } from "../../errors/error.ts";

/** Options of whole modules. */
export interface ModulesToSaveOptions {
  /** Names of modules, each equal to a path or its end after a dot: "lm_head", "norm", "layers.1.mlp". */
  readonly modules: readonly string[];
  /**
   * As what the modules came, where they are a prediction head of a class of AdapterHub's: its name, and the fields of its
   * `head_config.json`. Says nothing of what they compute; an AdapterHub folder is written by it.
   */
  readonly head?: SavedHead | undefined;
}

/** A prediction head's name and fields. */
export type SavedHead = { readonly name: string; readonly config: Readonly<Record<string, Json>> };

/**
 * Whole modules as a method, usually one part of a composition. Parameters are f32 copies under the
 * checkpoint's names.
 *
 * @throws {RangeError} when there is no name; at init, when a name matches no module.
 * @example
 * ```ts
 * import { compose, lora, modulesToSave } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const method = compose({ lora: lora(), saved: modulesToSave({ modules: ["lm_head"] }) });
 * assert.equal(method.name, "compose(lora, saved)");
 * ```
 */
export const modulesToSave: DefinedMethod<ModulesToSaveOptions> = defineMethod<ModulesToSaveOptions>({
  name: "modules-to-save",
  summary: "Trains whole modules that you name, such as a head.",
  title: "whole modules",
  wholeModules: true,
  options: {
    modules: needed(list(text), "names of modules: lm_head, norm, layers.1.mlp"),
    head: option(
      fields<SavedHead>({ name: text, config: record(anything) }),
      "the name and fields of the prediction head of AdapterHub's that the modules are",
    ),
  },
  create: (options) => {
    if (options.modules.length === 0) throw noModule();
    return {
      init: ({ model }) =>
        nest(
          savedLeaves(model, options).map(({ path, source }) =>
            [path, trainableCopy(model, source)] as const
          ),
        ) as Tree,
      edits: (params, spec) => leaves(params).map(([path, value]) => replaceWeight(spec, path, value)),
    };
  },
});

const noModule = (): RangeError =>
  rangeError("INVALID_ARGUMENT", "Expected modules to name at least one but found none");

/** One weight of a saved module, and the leaf from which it is initialized (another one for a tied head). */
export interface SavedLeaf {
  /** The trained leaf. */
  readonly path: string;
  /** The leaf of which it is initially a copy. */
  readonly source: string;
  /** The module it belongs to. */
  readonly module: string;
}

/**
 * The weights that names choose.
 *
 * @throws {RangeError} when a name matches no module.
 * @example
 * ```ts
 * import { freshModel, reference, savedLeaves, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const [leaf] = savedLeaves(model, { modules: ["lm_head"] });
 * assert.equal(leaf!.source, "model.embed_tokens.weight"); // a tied head starts as the embedding's copy
 * ```
 */
export function savedLeaves(model: Model, { modules }: ModulesToSaveOptions): readonly SavedLeaf[] {
  const all = [
    ...weightLeaves(model.weights).map(([path]) => ({ path, source: path })),
    ...model.spec.heads.flatMap(({ path, tiedTo }) =>
      tiedTo === undefined || lookup(model.weights, `${path}.weight`) instanceof Tensor
        ? []
        : [{ path: `${path}.weight`, source: `${tiedTo}.weight` }]
    ),
  ];
  const chosen = all.flatMap((leaf) => {
    const module = parents(leaf.path).find((parent) => modules.some((name) => nameMatches(name, parent)));
    return module === undefined ? [] : [{ ...leaf, module }];
  });
  if (modules.length === 0) throw noModule();
  for (const name of modules) {
    if (!all.some((leaf) => parents(leaf.path).some((parent) => nameMatches(name, parent)))) {
      throw rangeError("NO_SUCH_PLACE", `"${name}" matches no module of the model`);
    }
  }
  return chosen;
}

/** The modules that contain a leaf, the outermost first. */
function parents(path: string): readonly string[] {
  const names = path.split(".");
  return names.slice(0, -1).map((_, i) => names.slice(0, i + 1).join("."));
}

/**
 * Replaces a weight by a tensor, also that of a tied head, which has no leaf.
 *
 * @example
 * ```ts
 * import { freshModel, reference, replaceWeight, smallConfig } from "@graft/peft";
 * import { ones } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const table = ones([32, 16], model.backend);
 * assert.equal(replaceWeight(model.spec, "model.embed_tokens.weight", table).kind, "weight");
 * assert.equal(replaceWeight(model.spec, "lm_head.weight", table).kind, "linear"); // tied: it has no leaf
 * ```
 */
export function replaceWeight(spec: Spec, path: string, value: Tensor): Edit {
  const head = spec.heads.find((head) => head.tiedTo !== undefined && path === `${head.path}.weight`);
  return head === undefined ? replaceLeaf(path, value) : replaceHead(head, value);
}

/** y = W' x + b in place of the tied head's y. */
function replaceHead({ path }: HeadPlace, matrix: Tensor): LinearEdit {
  return {
    kind: "linear",
    path,
    change: {
      form: "delta",
      reads: "input",
      delta: fn({ matrix }, ({ matrix }, { x, y, bias }) => {
        const product = matmul(x, matrix, { transposeB: true }); // [.., d] → [.., v]
        return subtract(bias === undefined ? product : add(product, bias), y);
      }),
      weight: fn({ matrix }, ({ matrix }) => matrix),
    },
  };
}
