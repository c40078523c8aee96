/**
 * What a PEFT config may contain besides a method: trained biases, saved modules, rows of tables, weight
 * tying.
 */
import { type Json, type Model, nameMatches, type Spec } from "../../core/mod.ts";
import { namesField } from "../../formats/peft_config.ts";
import { type PeftFields, wrong } from "../../methods/peft/codec.ts";
import { tokenRows, type TrainableTokensOptions } from "../../methods/selective/trainable_tokens.ts";
import type { FolderParts, MainPart } from "./folder_parts.ts";
import { modulesEndingWith, modulesNamed, outermost } from "./layout.ts";
import { tokensOf } from "../../methods/selective/trainable_tokens_peft.ts";

/** The method with the additional parts given by the fields. */
export function withExtras(part: MainPart, fields: PeftFields, model: Model): FolderParts {
  const modules = modulesOf(fields, model);
  const biases = part.biases === undefined ? undefined : biasesOf(fields["bias"], part.biases);
  const given = fields["trainable_token_indices"] ?? null;
  const tokens = given === null ? undefined : tokensOf(given, model.spec);
  const ensured = fields["ensure_weight_tying"] === true;
  checkRows(part, tokens, model);
  return {
    main: part,
    ...biases && { biases },
    ...modules && { saved: { modules } },
    ...tokens && { tokens },
    fixed: modules && !ensured ? loneEmbeddings(modules, model.spec) : [],
    ...ensured && { shared: tiedPairs(model.spec).filter((pair) => isAdapted(pair, part)) },
  };
}

/** Names of the saved modules. */
export function modulesOf(fields: PeftFields, model: Model): readonly string[] | undefined {
  // PEFT lists the names of heads twice for prompts.
  const names = [...new Set(namesField("modules_to_save", fields["modules_to_save"]))];
  const saved = headNames(names, fields, model);
  return saved.length > 0 ? savedNames(saved, model) : undefined;
}

/** Which biases are trained according to a config. @throws {TypeError} on an unknown value. */
function biasesOf(value: Json | undefined, adapted: string): FolderParts["biases"] {
  switch (value) {
    case "none":
      return undefined;
    case "all":
      return "all";
    case adapted:
      return "adapted";
    default:
      return wrong("bias", `"none", "all" or "${adapted}"`, value);
  }
}

/** For classifiers PEFT adds two common names of heads; a model has one of them. */
function headNames(names: readonly string[], fields: PeftFields, model: Model): readonly string[] {
  if (fields["task_type"] !== "SEQ_CLS" && fields["task_type"] !== "TOKEN_CLS") return names;
  const isThere = (name: string): boolean => modulesEndingWith([name], model).length > 0;
  return names.filter((name) => !["classifier", "score"].includes(name) || isThere(name));
}

/** Names that choose, by our rules, the modules that the given ones choose by PEFT's. */
function savedNames(names: readonly string[], model: Model): readonly string[] {
  for (const name of names) {
    if (modulesEndingWith([name], model).length === 0) {
      throw new RangeError(`"${name}" of modules_to_save matches no module of the model`);
    }
  }
  const theirs = modulesEndingWith(names, model);
  const inner = theirs.find((path) => outermost(theirs, path) !== path);
  if (inner !== undefined) throw nested(names, inner, outermost(theirs, inner));
  return theirs.length === modulesNamed(names, model).length ? names : theirs;
}

/**
 * PEFT wraps a module inside a saved one again, writes only one of its two copies, and cannot load the
 * folder.
 */
function nested(names: readonly string[], inner: string, outer: string): RangeError {
  const nameOf = (path: string): string => names.find((name) => path.endsWith(name))!;
  return new RangeError(
    `Cannot load this adapter: "${
      nameOf(inner)
    }" of modules_to_save means "${inner}", which lies in "${outer}", meant by ` +
      `"${
        nameOf(outer)
      }"; both would have numbers of their own and the folder has them once, so train it with one of the two`,
  );
}

/** Heads whose embedding gets a separate copy in PEFT while they keep the shared table. */
function loneEmbeddings(modules: readonly string[], spec: Spec): readonly string[] {
  const saved = (path: string): boolean => modules.some((name) => nameMatches(name, path));
  return spec.heads.filter((head) => head.tiedTo !== undefined && saved(head.tiedTo) && !saved(head.path))
    .map((head) => `${head.path}.weight`);
}

function checkRows(part: MainPart, tokens: TrainableTokensOptions | undefined, { spec }: Model): void {
  const rows = tokens ? tokenRows(spec, tokens).map(({ place }) => place.path) : [];
  const both = part.places.find(({ path }) => rows.includes(path));
  if (both !== undefined) {
    throw new RangeError(`Cannot adapt "${both.path}" and train rows of it: leave it out of one of the two`);
  }
}

/** Embeddings and the heads tied to them. */
export const tiedPairs = (spec: Spec): readonly (readonly [embedding: string, head: string])[] =>
  spec.heads.flatMap(({ path, tiedTo }) => tiedTo === undefined ? [] : [[tiedTo, path] as const]);

const isAdapted = (pair: readonly string[], { places }: MainPart): boolean =>
  pair.every((path) => places.some((place) => place.path === path));
