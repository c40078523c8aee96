/** The method of a run, by a name or from a file of one's own. */
import { pathToFileURL } from "node:url";
import { resolve } from "node:path";
import type { CommandLine, MethodDefinition, SharedFlags } from "../core/mod.ts";
import { plainName } from "../core/options/mod.ts";
import { type KnownMethods, knownMethods, type OwnMethod } from "../io/records/known_methods.ts";
import { DEFINITIONS } from "../methods/index.ts";
import { UsageError } from "./usage_error.ts";

/** A method, and the methods that are known beside it. */
export interface ChosenMethod {
  /** Its name, as its definition has it. */
  readonly method: string;
  readonly definition: MethodDefinition;
  readonly known: KnownMethods;
  /** Those of the file, for loading and saving. */
  readonly own: readonly OwnMethod[];
}

/** The shared flags. */
export const SHARED: readonly (keyof SharedFlags)[] = [
  "rank",
  "alpha",
  "dropout",
  "targets",
  "bottleneck",
  "length",
  "dimension",
];

/** What the command line offers of a method; one without a word on that takes the flags of its options' names. */
export function commandLineOf({ cli, options }: MethodDefinition): CommandLine {
  return cli ?? { rate: 1e-3, flags: SHARED.filter((name) => Object.hasOwn(options, name)) };
}

/** Whether a definition can train by itself: combinators cannot, and neither can what only files hold. */
export const isTrainable = (definition: MethodDefinition): boolean => definition.cli !== undefined;

/** The method of a run that names none. */
export const STANDARD_METHOD: string = DEFINITIONS.find(({ cli }) => cli?.standard)!.name;

/** Names of the methods that train, in the index's order. */
export function trainableNames(known: KnownMethods = knownMethods()): readonly string[] {
  return known.all.filter(isTrainable).map(({ name }) => name);
}

/**
 * The method that a name means, or that a file exports: `lora`, a path, or a path with `#gain` where it exports several.
 *
 * @throws {UsageError} when there is none; the message says which name may have been meant.
 */
export async function chooseMethod(name: string): Promise<ChosenMethod> {
  if (!/[/\\]|\.[cm]?[jt]s(#|$)/.test(name)) {
    const known = knownMethods();
    return { ...chosenFrom(name, known), known, own: [] };
  }
  const [path, wanted] = name.split("#") as [string, string?];
  const own = await methodsIn(path);
  const known = knownMethods(own);
  const mine = own.map((one) => "definition" in one ? one.definition : one).filter((one) => "options" in one);
  if (wanted === undefined && mine.length !== 1) {
    throw new UsageError(
      `Expected ${path} to export one method but found ${mine.length}${
        mine.length === 0 ? "" : `: name one, as in ${path}#${mine[0]!.name}`
      }`,
    );
  }
  const definition = wanted === undefined ? mine[0]! : chosenFrom(wanted, known).definition;
  return { method: definition.name, definition, known, own };
}

/** The method of a name among known ones. @throws {UsageError} when there is none that can train. */
export function chosenFrom(name: string, known: KnownMethods): Pick<ChosenMethod, "method" | "definition"> {
  try {
    // A name may be another's of a method that trains, and a combinator's own.
    const definition = known.all.filter(isTrainable).find((one) =>
      [one.name, ...one.aliases ?? []].some((word) =>
        plainName(word) === plainName(name)
      )
    ) ?? known.get(name);
    if (isTrainable(definition) || definition.create !== undefined) {
      return { method: definition.name, definition };
    }
  } catch (cause) {
    throw new UsageError(`${(cause as Error).message} (graft methods lists all)`, { cause });
  }
  throw new UsageError(`Cannot train "${name}" by itself: it is made from other methods in a program`);
}

/** The definitions that a module exports, with factories for their definitions. */
async function methodsIn(path: string): Promise<readonly OwnMethod[]> {
  let module: Readonly<Record<string, unknown>>;
  try {
    module = await import(pathToFileURL(resolve(path)).href);
  } catch (cause) {
    throw new UsageError(`Cannot load a method from ${path}: ${(cause as Error).message}`, { cause });
  }
  const own = Object.values(module).filter(isOwnMethod);
  return own.filter((one, i) => own.findIndex((other) => definitionOf(other) === definitionOf(one)) === i);
}

const definitionOf = (one: OwnMethod): unknown => "definition" in one ? one.definition : one;

/** Whether an export is a definition, a factory that has one, or a gate. */
function isOwnMethod(value: unknown): value is OwnMethod {
  if ((typeof value !== "object" && typeof value !== "function") || value === null) return false;
  if ("definition" in value) return isOwnMethod(value.definition);
  return ("options" in value && typeof (value as { readonly name?: unknown }).name === "string") ||
    ("gate" in value && "createGate" in value);
}
