/** Checks that a resumed run is the same as the original. */
import { createHash } from "node:crypto";
import { bytesOf, type Model, weightLeaves } from "../core/mod.ts";
import type { KnownMethods } from "../io/records/known_methods.ts";
import type { RunFolder } from "../io/run_folder.ts";
import type { StateRecord } from "../io/training_state.ts";
import { rangeError } from "../errors/error.ts";

/**
 * @throws {RangeError} when a run would continue with other data, another base or other options; names the
 * first difference.
 */
export function checkSameRun(
  folder: RunFolder,
  then: StateRecord,
  now: StateRecord,
  known: Pick<KnownMethods, "find">,
): void {
  const optionsOf = (record: StateRecord): StateRecord => {
    const { method, ...options } = (record["options"] ?? {}) as StateRecord;
    // A method may have had another name when the run began.
    return { method: known.find(String(method))?.name ?? method ?? null, ...options };
  };
  const changed = changedOption(optionsOf(then), optionsOf(now));
  if (changed !== undefined) {
    const { name, was, is } = changed;
    throw rangeError(
      "CANNOT_RESUME",
      `Cannot resume ${folder.path}: --${name} was ${was} and is ${is} now; give the options that it began with`,
    );
  }
  const what = {
    base: "the model has other weights",
    data: "--data has other bytes",
    evalData: "--eval-data has other bytes",
  };
  for (const [name, differs] of Object.entries(what)) {
    if (then[name] !== now[name]) {
      throw rangeError("CANNOT_RESUME", `Cannot resume ${folder.path}: ${differs} than when the run began`);
    }
  }
  const [built, here] = [then["kernels"], now["kernels"]];
  // Checkpoints of earlier versions name none.
  if (built !== undefined && built !== here) {
    throw rangeError(
      "CANNOT_RESUME",
      `Cannot resume ${folder.path}: it began on the kernels of build ${built}, and those here are of build ${
        here ?? "none"
      }, which may round otherwise; resume it with the version of graft that began it, or start again`,
    );
  }
}

/** An option whose value has changed, its values as JSON or "not given". */
export interface ChangedOption {
  readonly name: string;
  readonly was: string;
  readonly is: string;
}

/** The first option with another value; a missing one counts as null, which means "not given". */
export function changedOption(
  then: Readonly<Record<string, unknown>>,
  now: Readonly<Record<string, unknown>>,
): ChangedOption | undefined {
  const text = (value: unknown): string =>
    value === undefined || value === null ? "not given" : JSON.stringify(value);
  return [...new Set([...Object.keys(then), ...Object.keys(now)])]
    .map((name) => ({ name, was: text(then[name]), is: text(now[name]) }))
    .find(({ was, is }) => was !== is);
}

/** A fingerprint of the base: names, shapes, dtypes and bytes of all its weights. */
export async function baseHash(model: Model): Promise<string> {
  const hash = createHash("sha256");
  for (const [path, leaf] of weightLeaves(model.weights)) {
    hash.update(`${path} ${leaf.dtype} ${leaf.shape.join(" ")}\n`);
    hash.update(await bytesOf(leaf));
  }
  return hash.digest("hex");
}
