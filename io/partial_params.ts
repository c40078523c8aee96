/** Adapters whose parameters are gradients: they lack frozen parameters, and nothing may be derived from them. */
import {
  type Adapter,
  areGradients,
  componentMethods,
  FROZEN,
  leaves,
  type Model,
  scope,
  type Tree,
} from "../core/mod.ts";
import { rangeError } from "../errors/error.ts";

/** @throws {RangeError} when the parameters are gradients, from which `form` would be computed as if they were parameters. */
export function refuseGradients({ method, params }: Adapter, form: string): void {
  if (!areGradients(params)) return;
  throw rangeError(
    "CANNOT_SAVE",
    `Cannot save the gradients of ${method.name} as ${form}: it would be computed from them as if they were parameters; ` +
      "save them in the method's own form",
  );
}

/**
 * Of an adapter that may be of gradients.
 *
 * @throws {RangeError} when its method has frozen parameters that it lacks, and `form` needs them.
 */
export function checkFrozen(adapter: Adapter, model: Model, form: string): void {
  const { method, params } = adapter;
  if (!areGradients(params) && !lacksSome(adapter, model)) return;
  const missing = missingFrozen(adapter, model);
  if (missing.length === 0) return;
  const [listed, more] = [missing.slice(0, 2).map((path) => `"${path}"`).join(", "), missing.length - 2];
  throw rangeError(
    "CANNOT_SAVE",
    `Cannot save ${method.name} ${form}: it lacks ${listed}${
      more > 0 ? ` and ${more} more` : ""
    }, which never train, so that ` +
      "gradients have none, and which the form holds too; a PEFT folder holds gradients alone where PEFT has the method",
  );
}

/** Whether no edits can be made of the parameters. */
function lacksSome({ method, params }: Adapter, { spec }: Model): boolean {
  try {
    scope(() => void method.edits(params, spec));
    return false;
  } catch {
    return true;
  }
}

/** Frozen leaves of the method on this model that the parameters lack; none where it cannot be made afresh. */
function missingFrozen({ method, params }: Adapter, model: Model): readonly string[] {
  const held = new Set(leaves(params).map(([path]) => path));
  let all: readonly string[] = [];
  try {
    scope(() => {
      all = leaves(method.init({ model, key: 0 }) as Tree).map(([path]) => path);
    });
  } catch {
    return []; // what is wrong has its own message
  }
  // What comes from a folder alone `init` does not make.
  const brought = componentMethods(method, params).flatMap(({ of, options, prefix }) =>
    (of.definition?.brought?.(options) ?? []).map((path) => `${prefix === "" ? "" : `${prefix}.`}${path}`)
  );
  return [...brought, ...all].filter((path) => path.split(".").includes(FROZEN) && !held.has(path));
}
