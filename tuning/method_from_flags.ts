/** A method's options from flags, with defaults suited to the model's sizes, and the method that they make. */
import {
  chooseTargets,
  type MatrixPlace,
  type Method,
  type Model,
  type SharedFlags,
  sizesOf,
  type Spec,
  type TargetOptions,
} from "../core/mod.ts";
import {
  checkOptions,
  filled,
  given,
  type JsonOptions,
  missing,
  type Options,
  optionsFromJson,
} from "../core/options/mod.ts";
import { type ChosenMethod, commandLineOf, SHARED } from "./chosen_method.ts";
import { checkOwn, UsageError } from "./usage_error.ts";

/** The method and its options; missing options have the method's defaults. */
export interface MethodFlags extends SharedFlags, ChosenMethod {
  /** Further options by the library's names; they take precedence. */
  readonly options?: JsonOptions;
}

/** Every option of a run by the method: its own, and those that its preparation reads. */
export function runOptions({ definition }: Pick<MethodFlags, "definition">): Options {
  return { ...definition.options, ...commandLineOf(definition).also };
}

/**
 * The options that flags and `--options` give, and those that suit the model's sizes.
 *
 * @throws {UsageError} on a flag that the method does not have, or an option that is unknown or of another kind.
 */
export function optionsFromFlags(flags: MethodFlags, spec: Spec): Readonly<Record<string, unknown>> {
  checkFlags(flags);
  const { definition } = flags;
  const known = runOptions(flags);
  const { options: sizes, targets: standard = "all-linear" } = commandLineOf(definition);
  const named = optionsFromJson(flags.options ?? {});
  const where = Object.hasOwn(known, "targets")
    ? { ...placesOf(flags, spec, standard), ...targetsOf(named) }
    : {};
  const shared: SharedFlags = {
    ...Object.fromEntries(SHARED.flatMap((name) => flags[name] === undefined ? [] : [[name, flags[name]]])),
    ...(Array.isArray(where.targets) || where.targets === "all-linear") && { targets: where.targets },
  };
  const own = SHARED.filter((name) => name !== "targets" && Object.hasOwn(known, name));
  const places = Object.keys(where).length > 0 || Object.hasOwn(known, "targets")
    ? chooseTargets(spec, where)
    : [];
  const chosen = {
    ...given(Object.fromEntries(own.map((name) => [name, flags[name]]))),
    ...where,
    ...given(sizes?.(shared, spec, places, named) ?? {}),
  };
  checkRank(flags, named, known, places);
  const options = { ...chosen, ...mergedParts(chosen, named, known) };
  checkNeeded(flags, options);
  return options;
}

/** The same with the defaults of the others: what `prepare` and plans are given. */
export function completedOptions(flags: MethodFlags, spec: Spec): Readonly<Record<string, unknown>> {
  return filled(optionsFromFlags(flags, spec), runOptions(flags));
}

/** @throws {UsageError} when the method needs an option that is not given; the message says how to give it. */
function checkNeeded({ definition }: MethodFlags, options: Readonly<Record<string, unknown>>): void {
  const [name] = definition.prepare === undefined ? missing(options, definition.options) : [];
  if (name === undefined) return;
  const { flags } = commandLineOf(definition);
  const flag = flags.map((one) => `--${one}`).join(" or ") || `--options '{"${name}": …}'`;
  throw new UsageError(
    `Expected ${flag} with --method ${definition.name}: ${definition.options[name]!.help}`,
  );
}

/** @throws {UsageError} when a rank that was asked for is above the smaller side of every chosen layer. */
function checkRank(
  { rank: flag, definition }: MethodFlags,
  named: Readonly<Record<string, unknown>>,
  known: Options,
  places: readonly MatrixPlace[],
): void {
  const rank = named["rank"] ?? flag;
  if (known["rank"]?.matrixRank !== true || typeof rank !== "number" || places.length === 0) return;
  const [largest] = places
    .map((place) => ({ path: place.path, ...sizesOf(place) }))
    .sort((a, b) => Math.min(b.inFeatures, b.outFeatures) - Math.min(a.inFeatures, a.outFeatures));
  const { path, inFeatures, outFeatures } = largest!;
  const most = Math.min(inFeatures, outFeatures);
  if (rank <= most) return;
  throw new UsageError(
    `Cannot use rank ${rank} with --method ${definition.name}: no matrix that it changes has a rank above ` +
      `${most} (${path} is ${outFeatures} x ${inFeatures})`,
  );
}

/** Options by name; those of a part are merged with what flags say of it. */
function mergedParts(
  chosen: Readonly<Record<string, unknown>>,
  named: Readonly<Record<string, unknown>>,
  known: Options,
): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(named).map(([name, value]) => {
      const own = chosen[name];
      const both = known[name]?.part !== undefined && isOptions(own) && isOptions(value);
      return [name, both ? { ...own, ...value } : value];
    }),
  );
}

const isOptions = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/**
 * The method for flags and a model's sizes, where options are all that it needs.
 *
 * @throws {UsageError} as `optionsFromFlags`.
 * @throws {RangeError} when an option is out of range for the method or the model.
 */
export function methodFromFlags(flags: MethodFlags, { spec }: Pick<Model, "spec">): Method {
  const { definition } = flags;
  if (definition.create === undefined) {
    throw new UsageError(
      `Cannot make ${definition.name} from options alone: it needs data or other adapters`,
    );
  }
  return definition.create(optionsFromFlags(flags, spec));
}

/** Which options choose layers. */
function targetsOf({ targets, exclude, layers }: Readonly<Record<string, unknown>>): TargetOptions {
  return given({ targets, exclude, layers });
}

/**
 * "all-linear", or names of layers; never one of a head, which is outside the blocks and is trained as a
 * whole if at all.
 */
function placesOf({ targets }: SharedFlags, spec: Spec, standard: "all-linear" | "own"): TargetOptions {
  const named = targets?.length === 1 && targets[0] === "all-linear" ? "all-linear" : targets;
  const chosen = named ?? (standard === "own" ? undefined : standard);
  const exclude = spec.linears.filter(({ layer }) => layer === undefined).map(({ path }) => path);
  return { ...chosen !== undefined && { targets: chosen }, ...exclude.length > 0 && { exclude } };
}

/** @throws {UsageError} on a flag or an option without effect for the method. */
export function checkFlags(flags: MethodFlags): void {
  const { definition, options = {} } = flags;
  checkOwn(flags, SHARED, commandLineOf(definition).flags);
  try {
    checkOptions(definition.name, optionsFromJson(options), runOptions(flags));
  } catch (cause) {
    throw new UsageError((cause as Error).message, { cause });
  }
}
