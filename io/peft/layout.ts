/**
 * The content of an HF PEFT folder for an adapter of a model: one table of tensors used for loading, saving
 * and gradients. A folder is one main method (of layers, of prompts, rows of tables), optionally with whole saved
 * modules, trained token rows and the base's own tables; with more than the main method the adapter is a
 * composition of named parts.
 */
import {
  compose,
  dequantizedShape,
  type MatrixPlace,
  type Method,
  type Model,
  type Spec,
} from "../../core/mod.ts";
import type { PeftTensor } from "../../methods/peft/codec.ts";
import { biasTensors } from "../../methods/peft/layers.ts";
import { BIASES, FIXED, ROWS, SAVED, type SavedLeaf, type SavedModules } from "../../methods/peft_beside.ts";
import type { FolderParts } from "./folder_parts.ts";
import { checkStackTables, stackCopies } from "./stack_tables.ts";
import { rangeError } from "../../errors/error.ts";

/** A key under which a tensor is stored again, because the model ties the two or because layers share it. */
export interface TensorCopy {
  readonly key: string;
  readonly of: string;
  readonly shared?: "by layers";
}

/** The whole folder. */
export interface FolderLayout {
  readonly method: Method;
  /** Paths are those in the adapter's params, keys have no prefix. */
  readonly tensors: readonly PeftTensor[];
  /** Keys under which PEFT writes a tied or shared tensor again. */
  readonly copies: readonly TensorCopy[];
  /** Leaves of the base that PEFT writes although a saved module replaces them. */
  readonly originals: readonly { readonly key: string; readonly leaf: string }[];
}

/** The path of each part's params: the name of a part in a composition, or "" for the whole. */
export type PartNames = Readonly<Record<"main" | "biases" | "saved" | "tokens" | "fixed", string>>;

/** The names used by loading. */
export const PARTS: PartNames = {
  main: "adapter",
  biases: "biases",
  saved: "saved",
  tokens: "tokens",
  fixed: "base",
};

/** The folder with the given parts, as a named adapter of the model. */
export function folderLayout(
  parts: FolderParts,
  model: Model,
  adapter = "default",
  names?: PartNames,
): FolderLayout {
  const { main, saved, tokens, fixed = [] } = parts;
  checkStackTables(parts, model.spec);
  const biases = main && parts.biases
    ? looseBiases(main.places, parts.biases, model.spec, saved ? SAVED.leaves(model, saved) : [])
    : [];
  const list = [
    ...fixed.length > 0 ? [{ part: "fixed" as const, method: FIXED.method(fixed), tensors: [] }] : [],
    ...main ? [{ part: "main" as const, method: main.method, tensors: main.tensors }] : [],
    ...biases.length > 0 ? [biasPart(biases)] : [],
    ...saved
      ? [{
        part: "saved" as const,
        method: SAVED.method(saved),
        tensors: savedTensors(saved, model, main?.savedPrefix ?? ""),
      }]
      : [],
    ...tokens
      ? [{
        part: "tokens" as const,
        method: ROWS.method(tokens),
        tensors: ROWS.tensors(model.spec, tokens, main ? "token_adapter." : ""),
      }]
      : [],
  ];
  const [first] = list;
  if (first === undefined) {
    throw rangeError("FILE_INVALID", "Expected an adapter with at least one part but found none");
  }
  const keys = new Set(list.flatMap((part) => part.tensors.map((t) => t.key)));
  const twice = parts.biases === "all" && saved ? savedBiases(saved, model, adapter) : [];
  const copies = [
    ...[...copiesOf(parts, model), ...stackCopies(parts, model.spec)].filter((copy) => keys.has(copy.of)),
    ...twice.map(({ path, copy }) => ({ key: copy, of: path })),
    ...(main?.tensors ?? []).flatMap(({ key, copies = [] }) =>
      copies.map((copy) => ({ key: copy, of: key, shared: "by layers" as const }))
    ),
  ];
  const prefixOf = (part: keyof PartNames): string => names?.[part] ?? (list.length === 1 ? "" : PARTS[part]);
  return {
    method: list.length === 1
      ? first.method
      : compose(Object.fromEntries(list.map(({ part, method }) => [PARTS[part], method]))),
    tensors: list.flatMap(({ part, tensors }) =>
      tensors.map((t) => ({ ...t, path: joined(prefixOf(part), t.path) }))
    ),
    copies,
    originals: twice.map(({ path, original }) => ({ key: original, leaf: path })),
  };
}

/** The biases that are trained separately: a saved module includes its own. */
export function looseBiases(
  places: readonly MatrixPlace[],
  which: "adapted" | "all",
  spec: Spec,
  saved: readonly SavedLeaf[],
): readonly PeftTensor[] {
  return biasTensors(places, which, spec).filter(({ path }) => !saved.some((leaf) => leaf.path === path));
}

/** Biases inside saved modules. With `bias: "all"` PEFT writes them under the wrappers' names, too. */
export function savedBiases(
  saved: SavedModules,
  model: Model,
  adapter = "default",
): readonly { readonly path: string; readonly copy: string; readonly original: string }[] {
  return SAVED.leaves(model, saved).filter(({ path }) => path.endsWith(".bias")).map(({ path, module }) => {
    const rest = path.slice(module.length);
    // PEFT removes the adapter's name from the key where it is right before the last component.
    const name = rest === ".bias" ? "" : `.${adapter}`;
    return {
      path,
      copy: `${module}.modules_to_save${name}${rest}`,
      original: `${module}.original_module${rest}`,
    };
  });
}

/** Trained biases along with a method. */
const biasPart = (tensors: readonly PeftTensor[]) => ({
  part: "biases" as const,
  method: BIASES.method(tensors.map(({ path }) => path)),
  tensors,
});

const joined = (prefix: string, path: string): string => prefix === "" ? path : `${prefix}.${path}`;

function savedTensors(
  saved: SavedModules,
  model: Model,
  prefix: string,
): readonly PeftTensor[] {
  return SAVED.leaves(model, saved).map(({ path, source }) => ({
    path,
    key: prefix + path,
    shape: dequantizedShape(model, source),
  }));
}

/** A tied head follows its embedding, and PEFT writes it a second time. */
function copiesOf({ main, saved, tokens, fixed = [] }: FolderParts, model: Model): FolderLayout["copies"] {
  return model.spec.heads.flatMap(({ path, tiedTo }) => {
    if (tiedTo === undefined || fixed.includes(`${path}.weight`)) return [];
    const savedPaths = new Set(saved ? SAVED.leaves(model, saved).map((leaf) => leaf.path) : []);
    return [
      ...savedPaths.has(`${tiedTo}.weight`) && !savedPaths.has(`${path}.weight`)
        ? [{ key: `${path}.weight`, of: `${tiedTo}.weight` }]
        : [],
      ...tokens && !main
        ? [{ key: `${path}.trainable_tokens_delta`, of: `${tiedTo}.trainable_tokens_delta` }]
        : [],
    ];
  });
}
