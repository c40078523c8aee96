/**
 * Chooses layers by name, as in PEFT folders and options. Nothing is skipped silently: a name that matches nothing throws.
 */
import type { EmbeddingPlace, HeadPlace, LinearPlace, Place, Spec } from "./place.ts";
import { rangeError, syntaxError, typeError } from "../../errors/error.ts";
import { matchesWhole, patternMatches } from "./patterns.ts";

/** A layer that a matrix update can be grafted onto. */
export type MatrixPlace = LinearPlace | EmbeddingPlace | HeadPlace;

/**
 * Which layers: names, each equal to a path or its end after a dot; a pattern that must match the whole path;
 * every linear layer of the blocks; or a predicate on places.
 */
export type Targets = readonly string[] | RegExp | "all-linear" | ((place: Place) => boolean);

/** How targets are narrowed. */
export interface TargetOptions {
  /** Default: the query and value layers (or the fused qkv), as in the LoRA paper. */
  readonly targets?: Targets;
  /** Layers to leave out. For a new adapter each name must be a layer of the model, chosen or not. */
  readonly exclude?: readonly string[] | RegExp;
  /** Only these blocks. */
  readonly layers?: readonly number[];
}

/**
 * Whether a name is a path or the end of it after a dot.
 *
 * @example
 * ```ts
 * import { nameMatches } from "@graft/peft/core";
 * import assert from "node:assert/strict";
 * assert.ok(nameMatches("q_proj", "model.layers.0.self_attn.q_proj"));
 * assert.ok(!nameMatches("proj", "model.layers.0.self_attn.q_proj")); // names end at dots
 * ```
 */
export function nameMatches(name: string, path: string): boolean {
  return path === name || path.endsWith(`.${name}`);
}

/**
 * Input and output sizes of a matrix place; an embedding maps one-hot ids to rows.
 *
 * @example
 * ```ts
 * import { freshModel, reference, sizesOf, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * assert.deepEqual(sizesOf(spec.embeddings[0]!), { inFeatures: 32, outFeatures: 16 }); // ids to states
 * ```
 */
export function sizesOf(place: MatrixPlace): { readonly inFeatures: number; readonly outFeatures: number } {
  return place.kind === "embedding" ? { inFeatures: place.rows, outFeatures: place.width } : place;
}

/**
 * The layers that options choose, in the model's order.
 *
 * @throws {RangeError} when a name, or the pattern as a whole, matches nothing; the message names it and
 * lists the available names.
 * @example
 * ```ts
 * import { chooseTargets, freshModel, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const chosen = chooseTargets(spec, { targets: ["q_proj", "v_proj"], layers: [1] });
 * assert.deepEqual(chosen.map(({ path }) => path), [
 *   "model.layers.1.self_attn.q_proj",
 *   "model.layers.1.self_attn.v_proj",
 * ]);
 * assert.throws(() => chooseTargets(spec, { targets: ["query"] }), RangeError);
 * ```
 */
export function chooseTargets(spec: Spec, options: TargetOptions): readonly MatrixPlace[] {
  const all = matrices(spec);
  const { targets } = options;
  const excluded = (path: string): boolean =>
    options.exclude !== undefined &&
    (options.exclude instanceof RegExp
      ? matchesWhole(options.exclude, path)
      : options.exclude.some((name) => nameMatches(name, path)));
  const inLayers = (place: MatrixPlace): boolean =>
    options.layers === undefined || (place.layer !== undefined && options.layers.includes(place.layer));
  const chosen = all.filter((place) => matches(targets, place) && !excluded(place.path) && inLayers(place));
  if (Array.isArray(targets)) {
    for (const name of targets as readonly string[]) {
      if (!all.some((place) => nameMatches(name, place.path))) throw unmatched(`"${name}"`, all);
    }
  }
  if (chosen.length === 0) throw unmatched(describe(options), all);
  return chosen;
}

/** Values by pattern, as `byPattern` reads them. */
export interface PatternOptions {
  /** Rank by pattern. */
  readonly rankPattern?: Readonly<Record<string, number>> | undefined;
  /** α by pattern. */
  readonly alphaPattern?: Readonly<Record<string, number>> | undefined;
  /** Bound by pattern. */
  readonly lambdaPattern?: Readonly<Record<string, number>> | undefined;
  /** Frequencies by pattern. */
  readonly frequencyPattern?: Readonly<Record<string, number>> | undefined;
  /** Sizes of blocks by pattern. */
  readonly blockPattern?: Readonly<Record<string, number>> | undefined;
}

/**
 * The layers of a new adapter. Things that a folder of another program may contain harmlessly are mistakes in
 * one's own options: names that choose a layer twice, blocks that do not exist, exclusions that name no
 * layer, and value patterns that match no chosen layer, or of which two with different values match the same
 * one.
 *
 * @throws {RangeError} in these cases, naming the layer; and as `chooseTargets`.
 * @example
 * ```ts
 * import { freshModel, freshTargets, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * assert.equal(freshTargets(spec, { targets: ["q_proj"] }).length, 2);
 * assert.throws(() => freshTargets(spec, { targets: ["q_proj", "self_attn.q_proj"] }), /name a layer once/);
 * ```
 */
export function freshTargets(spec: Spec, options: TargetOptions & PatternOptions): readonly MatrixPlace[] {
  const chosen = chooseTargets(spec, options);
  const { targets, exclude = [], layers = [] } = options;
  const all = matrices(spec);
  const left = exclude instanceof RegExp
    ? [[String(exclude), all.some(({ path }) => matchesWhole(exclude, path))] as const]
    : exclude.map((name) => [`"${name}"`, all.some(({ path }) => nameMatches(name, path))] as const);
  for (const [what, found] of left) if (!found) throw unmatched(`The exclude ${what}`, all);
  if (Array.isArray(targets)) {
    checkOnce("targets", "a layer", targets as readonly string[], chosen.map(({ path }) => path));
  }
  checkBlocks(layers, all);
  for (
    const option of [
      "rankPattern",
      "alphaPattern",
      "lambdaPattern",
      "frequencyPattern",
      "blockPattern",
    ] as const
  ) {
    checkPatterns(option, options[option] ?? {}, chosen);
  }
  return chosen;
}

/**
 * Refuses names of which two refer to the same path.
 *
 * @param option The option that holds the names.
 * @param what What a path refers to, such as "a weight".
 * @throws {RangeError} in that case, with both names and the path.
 * @example
 * ```ts
 * import { checkOnce } from "@graft/peft/core";
 * import assert from "node:assert/strict";
 * checkOnce("targets", "a layer", ["q", "k"], ["h.0.q", "h.0.k"]);
 * assert.throws(() => checkOnce("targets", "a layer", ["q", "0.q"], ["h.0.q"]), /"q" and "0.q" are both "h.0.q"/);
 * ```
 */
export function checkOnce(
  option: string,
  what: string,
  names: readonly string[],
  paths: readonly string[],
): void {
  for (const path of paths) {
    const [one, other] = names.filter((name) => nameMatches(name, path));
    if (other !== undefined) {
      throw rangeError(
        "INVALID_ARGUMENT",
        `Expected ${option} that name ${what} once but "${one}" and "${other}" are both "${path}"`,
      );
    }
  }
}

/** @throws {RangeError} when a number is not that of a block. */
function checkBlocks(layers: readonly number[], all: readonly MatrixPlace[]): void {
  const stray = layers.find((n) => !all.some(({ layer }) => layer === n));
  if (stray === undefined) return;
  const last = Math.max(...all.map(({ layer }) => layer ?? -1));
  throw rangeError(
    "NO_SUCH_PLACE",
    `Expected layers to number blocks of the model, up to ${last}, but found ${stray}`,
  );
}

const matrices = (spec: Spec): readonly MatrixPlace[] => [
  ...spec.linears,
  ...spec.embeddings,
  ...spec.heads,
];

function checkPatterns(
  option: string,
  patterns: Readonly<Record<string, number>>,
  chosen: readonly MatrixPlace[],
): void {
  const entries = Object.entries(patterns);
  for (const [pattern] of entries) {
    try {
      patternMatches(pattern, "");
    } catch (error) {
      throw syntaxError(
        "INVALID_ARGUMENT",
        `The ${option} "${pattern}" is no regular expression: ${(error as Error).message}`,
      );
    }
    if (!chosen.some(({ path }) => patternMatches(pattern, path))) {
      throw unmatched(`The ${option} "${pattern}"`, chosen, "none of the chosen layers");
    }
  }
  for (const { path } of chosen) {
    const [first, ...rest] = entries.filter(([pattern]) => patternMatches(pattern, path));
    const other = rest.find(([, value]) => value !== first![1]);
    if (other !== undefined) {
      throw rangeError(
        "INVALID_ARGUMENT",
        `Expected one number of ${option} for "${path}" but "${first![0]}" gives ${first![1]} and "${
          other[0]
        }" ${other[1]}`,
      );
    }
  }
}

function matches(targets: Targets | undefined, place: MatrixPlace): boolean {
  if (targets === undefined) {
    return place.kind === "linear" && ["query", "value", "qkv"].includes(place.role);
  }
  if (targets === "all-linear") return place.kind === "linear";
  if (typeof targets === "function") return targets(place);
  if (targets instanceof RegExp) return matchesWhole(targets, place.path);
  if (!Array.isArray(targets)) {
    throw typeError(
      "INVALID_ARGUMENT",
      `Expected targets to be a list of names, a pattern, "all-linear" or a predicate but found ${
        JSON.stringify(targets)
      }`,
    );
  }
  return targets.some((name) => nameMatches(name, place.path));
}

function describe(options: TargetOptions): string {
  const { targets, exclude, layers } = options;
  const what = targets instanceof RegExp
    ? String(targets)
    : typeof targets === "function"
    ? "The predicate"
    : JSON.stringify(targets ?? "query, value");
  const without = exclude === undefined
    ? ""
    : ` without ${exclude instanceof RegExp ? exclude : JSON.stringify(exclude)}`;
  return what + without + (layers === undefined ? "" : ` in layers ${layers.join(", ")}`);
}

function unmatched(what: string, all: readonly MatrixPlace[], where = "no layer of the model"): RangeError {
  const names = [...new Set(all.map((place) => place.path.replace(/^.*\.\d+\./, "")))];
  const known = names.join(", ");
  return rangeError(
    "NO_SUCH_PLACE",
    known === "" ? `${what} matches ${where}: there is none` : `${what} matches ${where}: there are ${known}`,
  );
}
