/**
 * What a PEFT config may contain besides a method: trained biases, saved modules, rows of tables, weight
 * tying.
 */
import { type Json, type Model, nameMatches, type Spec } from "../../core/mod.ts";
import { type MainPart, type PeftFields, wrong } from "../../methods/peft/codec.ts";
import { savedModules } from "../../methods/peft/modules.ts";
import { tiedPairs } from "../../methods/peft/places.ts";
import { ROWS, type TrainedRows } from "../../methods/peft_beside.ts";
import type { FolderParts } from "./folder_parts.ts";
import { rangeError } from "../../errors/error.ts";

/** The method with the additional parts given by the fields. */
export function withExtras(part: MainPart, fields: PeftFields, model: Model): FolderParts {
  const modules = savedModules(fields, model);
  const biases = part.biases === undefined ? undefined : biasesOf(fields["bias"], part.biases);
  const given = fields["trainable_token_indices"] ?? null;
  const tokens = given === null ? undefined : ROWS.of(given, model.spec);
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

/** Heads whose embedding gets a separate copy in PEFT while they keep the shared table. */
function loneEmbeddings(modules: readonly string[], spec: Spec): readonly string[] {
  const saved = (path: string): boolean => modules.some((name) => nameMatches(name, path));
  return spec.heads.filter((head) => head.tiedTo !== undefined && saved(head.tiedTo) && !saved(head.path))
    .map((head) => `${head.path}.weight`);
}

function checkRows(part: MainPart, tokens: TrainedRows | undefined, { spec }: Model): void {
  const rows = tokens ? ROWS.tables(spec, tokens).map(({ place }) => place.path) : [];
  const both = part.places.find(({ path }) => rows.includes(path));
  if (both !== undefined) {
    throw rangeError(
      "FILE_INVALID",
      `Cannot adapt "${both.path}" and train rows of it: leave it out of one of the two`,
    );
  }
}

const isAdapted = (pair: readonly string[], { places }: MainPart): boolean =>
  pair.every((path) => places.some((place) => place.path === path));
