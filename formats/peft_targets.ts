/**
 * Which modules a PEFT config chooses: PEFT's own rules, so that a folder has the same meaning here and in
 * PEFT.
 *
 *   list     a name equal to the path or to its end after a dot; `layers_to_transform` then narrows by the first number
 *   string   a Python pattern that must match the whole path
 *   exclude_modules and modules_to_save exclude modules before that
 */
import { type Json, matchesWhole } from "../core/mod.ts";
import { namesField } from "./peft_config.ts";
import { rangeError, syntaxError, typeError } from "../errors/error.ts";

/** The fields that choose modules; `target_modules` is resolved (not null or "all-linear"). */
export interface PeftTargets {
  /** Names, or a pattern of the whole path. */
  readonly target_modules: readonly string[] | string;
  /** The same, for layers to leave out. */
  readonly exclude_modules: readonly string[] | string | null;
  /** Modules that are trained as a whole. */
  readonly modules_to_save: readonly string[] | null;
  /** Block numbers. */
  readonly layers_to_transform: readonly number[] | null;
  /** The path component before a block's number. */
  readonly layers_pattern: readonly string[] | null;
}

/**
 * Reads the fields.
 *
 * @param whole The meaning of null and "all-linear".
 * @throws {TypeError} when a field has the wrong kind.
 * @example
 * ```ts
 * import { peftTargets } from "@graft/peft/formats";
 * import assert from "node:assert/strict";
 * const whole = { standard: () => ["q_proj"], linear: () => ["q_proj", "up_proj"] };
 * assert.deepEqual(peftTargets({ target_modules: null }, whole).target_modules, ["q_proj"]);
 * assert.deepEqual(
 *   peftTargets({ target_modules: "all-linear" }, whole).target_modules,
 *   ["q_proj", "up_proj"],
 * );
 * ```
 */
export function peftTargets(
  fields: Readonly<Record<string, Json>>,
  whole: { readonly standard: () => readonly string[]; readonly linear: () => readonly string[] },
): PeftTargets {
  const namesOrPattern = (name: string): readonly string[] | string | null => {
    const value = fields[name] ?? null;
    return typeof value === "string" ? value : namesField(name, value) ?? null;
  };
  const given = namesOrPattern("target_modules");
  const layers = fields["layers_to_transform"] ?? null;
  const layerList = typeof layers === "number" ? [layers] : layers;
  if (
    layerList !== null && !(Array.isArray(layerList) && layerList.every((n) => Number.isInteger(n)))
  ) {
    throw typeError(
      "FILE_INVALID",
      `Expected "layers_to_transform" to be layer numbers but found ${JSON.stringify(layers)}`,
    );
  }
  if (typeof given === "string" && given.toLowerCase() !== "all-linear" && layerList !== null) {
    throw rangeError(
      "FILE_INVALID",
      `"layers_to_transform" cannot narrow the pattern "${given}": put it into the pattern`,
    );
  }
  return {
    target_modules: given === null
      ? whole.standard()
      : typeof given === "string" && given.toLowerCase() === "all-linear"
      ? whole.linear()
      : given,
    exclude_modules: namesOrPattern("exclude_modules"),
    modules_to_save: namesField("modules_to_save", fields["modules_to_save"]) ?? null,
    layers_to_transform: layerList as readonly number[] | null,
    layers_pattern: namesField("layers_pattern", fields["layers_pattern"]) ?? null,
  };
}

/**
 * The paths that the fields choose.
 *
 * @throws {SyntaxError} when a pattern is malformed.
 * @example
 * ```ts
 * import { chosenPaths, peftTargets } from "@graft/peft/formats";
 * import assert from "node:assert/strict";
 * const fields = { target_modules: ["q"], layers_to_transform: [1] };
 * const targets = peftTargets(fields, { standard: () => [], linear: () => [] });
 * const paths = ["model.layers.0.q", "model.layers.1.q", "model.layers.1.k"];
 * assert.deepEqual(chosenPaths(targets, paths), ["model.layers.1.q"]);
 * ```
 */
export function chosenPaths(targets: PeftTargets, paths: readonly string[]): readonly string[] {
  const { target_modules: wanted, exclude_modules: excluded, modules_to_save: saved } = targets;
  const out = matcher(excluded);
  const savedPatterns = (saved ?? []).map((name) => pythonPattern(`(?:.*\\.)?(?:${name})(?:\\..*)?`));
  const kept = paths.filter((path) =>
    !out(path) && !savedPatterns.some((pattern) => matchesWhole(pattern, path))
  );
  if (typeof wanted === "string") return kept.filter(matcher(wanted));
  const names = new Set(wanted);
  return kept.filter((path) =>
    names.has(path) || (wanted.some((name) => path.endsWith(`.${name}`)) && inLayers(targets, path))
  );
}

function matcher(what: readonly string[] | string | null): (path: string) => boolean {
  if (what === null) return () => false;
  if (typeof what !== "string") {
    return (path) => what.some((name) => path === name || path.endsWith(`.${name}`));
  }
  const pattern = pythonPattern(what);
  return (path) => matchesWhole(pattern, path);
}

function inLayers(
  { layers_to_transform: layers, layers_pattern: names }: PeftTargets,
  path: string,
): boolean {
  if (layers === null || layers.length === 0) return true;
  const found = names === null || names.length === 0
    ? /^.*?\.[^.]*\.(\d+)\./.exec(path)?.[1]
    : names.map((name) =>
      pythonPattern(`^(?:.*?\\.)?(?:${name})\\.(?P<idx>\\d+)\\.`).exec(path)?.groups?.["idx"]
    )
      .find((n) => n !== undefined);
  return found !== undefined && layers.includes(Number(found));
}

/**
 * A Python pattern as a JavaScript one.
 *
 * @throws {SyntaxError} when JavaScript cannot read it.
 * @example
 * ```ts
 * import { pythonPattern } from "@graft/peft/formats";
 * import assert from "node:assert/strict";
 * assert.equal(pythonPattern("(?i)(?P<n>\\d+)\\Z").exec("LAYER 12")!.groups!["n"], "12");
 * ```
 */
export function pythonPattern(source: string): RegExp {
  const flags = /^\(\?([ims]+)\)/.exec(source);
  const translated = source.slice(flags?.[0].length ?? 0)
    .replace(/\(\?P</g, "(?<")
    .replace(/\(\?P=(\w+)\)/g, "\\k<$1>")
    .replace(/\\A/g, "^")
    .replace(/\\Z/g, "$");
  try {
    return new RegExp(translated, flags?.[1] ?? "");
  } catch (error) {
    throw syntaxError("FILE_INVALID", `Cannot read the pattern "${source}": ${(error as Error).message}`);
  }
}

/**
 * A JavaScript pattern as a Python one.
 *
 * @example
 * ```ts
 * import { pythonSource } from "@graft/peft/formats";
 * import assert from "node:assert/strict";
 * assert.equal(pythonSource(/(?<layer>\d+)\.q/i), "(?i)(?P<layer>\\d+)\\.q");
 * ```
 */
export function pythonSource(pattern: RegExp): string {
  const flags = [...pattern.flags].filter((flag) => "ims".includes(flag)).join("");
  const source = pattern.source
    .replace(/\(\?<([A-Za-z_]\w*)>/g, "(?P<$1>")
    .replace(/\\k<(\w+)>/g, "(?P=$1)")
    .replace(/\\\//g, "/");
  return flags === "" ? source : `(?${flags})${source}`;
}

/**
 * The shortest names (ends of paths, all with the same depth) that choose exactly these paths out of all.
 *
 * @example
 * ```ts
 * import { shortNames } from "@graft/peft/formats";
 * import assert from "node:assert/strict";
 * const all = ["h.0.attn.c_proj", "h.0.mlp.c_proj", "h.0.attn.c_attn"];
 * assert.deepEqual(shortNames(["h.0.mlp.c_proj"], all), ["mlp.c_proj"]); // "c_proj" would be two
 * ```
 */
export function shortNames(chosen: readonly string[], all: readonly string[]): readonly string[] {
  const deepest = Math.max(0, ...chosen.map((path) => path.split(".").length));
  for (let depth = 1; depth < deepest; depth++) {
    const names = [...new Set(chosen.map((path) => path.split(".").slice(-depth).join(".")))];
    const found = all.filter(matcher(names));
    if (found.length === chosen.length) return names;
  }
  return [...chosen];
}
