/**
 * The content of an HF PEFT folder for an adapter of a model: one table of tensors used for loading, saving
 * and gradients. A folder is one main method (LoRA, (IA)³, trainable tokens), optionally with whole saved
 * modules, trained token rows and the base's own tables; with more than the main method the adapter is a
 * composition of named parts.
 */
import {
  compose,
  dequantizedShape,
  isQuantized,
  lookup,
  type MatrixPlace,
  type Method,
  type Model,
  nameMatches,
  type Spec,
  Tensor,
  weightLeaves,
} from "../../core/mod.ts";
import { fixedWeights } from "../../methods/selective/fixed_weights.ts";
import { only } from "../../methods/selective/full_fine_tune.ts";
import {
  modulesToSave,
  type ModulesToSaveOptions,
  type SavedLeaf,
  savedLeaves,
} from "../../methods/selective/modules_to_save.ts";
import type { PeftCodec, PeftTensor } from "../../methods/peft/codec.ts";
import { biasTensors } from "../../methods/peft/layers.ts";
import { tokenTensors, trainableTokens } from "../../methods/selective/trainable_tokens.ts";
import type { FolderParts, MainPart } from "./folder_parts.ts";
import { checkStackTables, stackCopies } from "./stack_tables.ts";
import { withPythonPatterns } from "../../methods/peft/patterns.ts";

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

/** Binds a codec to its options, so that generic code sees only tensors and fields. */
export function mainPart<O>(
  codec: PeftCodec<O>,
  options: O,
  places: readonly MatrixPlace[],
  spec: Spec,
): MainPart {
  return {
    type: codec.type,
    method: codec.method(options),
    places,
    tensors: codec.tensors(places, options, spec),
    fields: { ...codec.fields, ...withPythonPatterns(codec.write(options)) },
    ...codec.biases !== undefined && { biases: codec.biases },
  };
}

/** Every layer that can have a matrix update. */
export function matrixPlaces(spec: Spec): readonly MatrixPlace[] {
  return [...spec.linears, ...spec.embeddings, ...spec.heads];
}

/** Layers as seen by PEFT: a quantized matrix is that of a Linear, also in GPT-2. */
export function placesInPeft(places: readonly MatrixPlace[], { weights }: Model): readonly MatrixPlace[] {
  return places.map((place) => {
    if (place.kind !== "linear" || !place.transposed) return place;
    const leaf = lookup(weights, `${place.path}.weight`);
    return leaf instanceof Tensor && isQuantized(leaf.dtype) ? { ...place, transposed: false } : place;
  });
}

/** Paths of all modules with weights, and of the modules that contain them. */
export function modulePaths(model: Model): readonly string[] {
  const leaves = [
    ...weightLeaves(model.weights).map(([path]) => path),
    ...model.spec.heads.map((h) => `${h.path}.x`),
  ];
  const modules = leaves.flatMap((path) => {
    const names = path.split(".");
    return names.slice(0, -1).map((_, i) => names.slice(0, i + 1).join("."));
  });
  return [...new Set(modules)];
}

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
    ? looseBiases(main.places, parts.biases, model.spec, saved ? savedLeaves(model, saved) : [])
    : [];
  const list = [
    ...fixed.length > 0
      ? [{ part: "fixed" as const, method: fixedWeights({ parameters: fixed }), tensors: [] }]
      : [],
    ...main ? [{ part: "main" as const, method: main.method, tensors: main.tensors }] : [],
    ...biases.length > 0 ? [biasPart(biases)] : [],
    ...saved
      ? [{
        part: "saved" as const,
        method: modulesToSave(saved),
        tensors: savedTensors(saved, model, main?.savedPrefix ?? ""),
      }]
      : [],
    ...tokens
      ? [{
        part: "tokens" as const,
        method: trainableTokens(tokens),
        tensors: tokenTensors(model.spec, tokens, main ? "token_adapter." : ""),
      }]
      : [],
  ];
  const [first] = list;
  if (first === undefined) throw new RangeError("Expected an adapter with at least one part but found none");
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
  saved: ModulesToSaveOptions,
  model: Model,
  adapter = "default",
): readonly { readonly path: string; readonly copy: string; readonly original: string }[] {
  return savedLeaves(model, saved).filter(({ path }) => path.endsWith(".bias")).map(({ path, module }) => {
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
  method: only({ parameters: tensors.map(({ path }) => path) }),
  tensors,
});

const joined = (prefix: string, path: string): string => prefix === "" ? path : `${prefix}.${path}`;

function savedTensors(
  saved: ModulesToSaveOptions,
  model: Model,
  prefix: string,
): readonly PeftTensor[] {
  return savedLeaves(model, saved).map(({ path, source }) => ({
    path,
    key: prefix + path,
    shape: dequantizedShape(model, source),
  }));
}

/** A tied head follows its embedding, and PEFT writes it a second time. */
function copiesOf({ main, saved, tokens, fixed = [] }: FolderParts, model: Model): FolderLayout["copies"] {
  return model.spec.heads.flatMap(({ path, tiedTo }) => {
    if (tiedTo === undefined || fixed.includes(`${path}.weight`)) return [];
    const savedPaths = new Set(saved ? savedLeaves(model, saved).map((leaf) => leaf.path) : []);
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

/** PEFT takes every module whose path ends with the name, even inside a word ("norm" is also "input_layernorm"). */
export function modulesEndingWith(names: readonly string[], model: Model): readonly string[] {
  return modulePaths(model).filter((path) => names.some((name) => path.endsWith(name)));
}

/** The same by our rules: whole segments. */
export function modulesNamed(names: readonly string[], model: Model): readonly string[] {
  return modulePaths(model).filter((path) => names.some((name) => nameMatches(name, path)));
}

/** The outermost of the modules that contain a module; the module itself if none does. */
export function outermost(modules: readonly string[], path: string): string {
  return modules.find((outer) => path.startsWith(`${outer}.`)) ?? path;
}
