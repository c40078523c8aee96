/** Modules of a model by PEFT's names and by ours, and those that a folder saves whole. */
import { type Model, nameMatches, weightLeaves } from "../../core/mod.ts";
import { namesField } from "../../formats/peft_config.ts";
import type { PeftFields } from "./main_part.ts";
import { rangeError } from "../../errors/error.ts";

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

/** Names of the modules that a config saves whole. */
export function savedModules(fields: PeftFields, model: Model): readonly string[] | undefined {
  // PEFT lists the names of heads twice for prompts.
  const names = [...new Set(namesField("modules_to_save", fields["modules_to_save"]))];
  const saved = headNames(names, fields, model);
  return saved.length > 0 ? ourNames(saved, model) : undefined;
}

/** For classifiers PEFT adds two common names of heads; a model has one of them. */
function headNames(names: readonly string[], fields: PeftFields, model: Model): readonly string[] {
  if (fields["task_type"] !== "SEQ_CLS" && fields["task_type"] !== "TOKEN_CLS") return names;
  const isThere = (name: string): boolean => modulesEndingWith([name], model).length > 0;
  return names.filter((name) => !["classifier", "score"].includes(name) || isThere(name));
}

/** Names that choose, by our rules, the modules that the given ones choose by PEFT's. */
function ourNames(names: readonly string[], model: Model): readonly string[] {
  for (const name of names) {
    if (modulesEndingWith([name], model).length === 0) {
      throw rangeError("NO_SUCH_PLACE", `"${name}" of modules_to_save matches no module of the model`);
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
  return rangeError(
    "ADAPTER_UNSUPPORTED",
    `Cannot load this adapter: "${
      nameOf(inner)
    }" of modules_to_save means "${inner}", which lies in "${outer}", meant by ` +
      `"${
        nameOf(outer)
      }"; both would have numbers of their own and the folder has them once, so train it with one of the two`,
  );
}
