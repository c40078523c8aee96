/** `--from`: a run that goes on from a saved adapter. */
import type { Adapter, Model } from "../../core/mod.ts";
import type { Tokenizer } from "../../formats/tokenizer.ts";
import { SHARED } from "../../tuning/chosen_method.ts";
import { UsageError } from "../../tuning/usage_error.ts";
import { openAdapter } from "../load.ts";
import type { ChosenFlags, FinetuneFlags } from "./settings.ts";

/** @throws {UsageError} when flags describe an adapter that is loaded. */
export function checkFrom(flags: FinetuneFlags): void {
  if (flags.from === undefined) return;
  const given = [...SHARED, "options" as const].find((name) => flags[name] !== undefined);
  if (given !== undefined) {
    throw new UsageError(`Cannot change --${given} of the adapter that --from names: it is as it was saved`);
  }
}

/** The saved adapter, if one is named, and the flags with its method. */
export async function openFrom<F extends ChosenFlags>(
  flags: F,
  model: Model<Tokenizer>,
): Promise<{ readonly from: Adapter | undefined; readonly flags: F }> {
  if (flags.from === undefined) return { from: undefined, flags };
  const from = await openAdapter(flags.from, model, flags);
  const definition = flags.known.find(from.method.name) ?? flags.definition;
  return { from, flags: { ...flags, method: from.method.name, definition } };
}
