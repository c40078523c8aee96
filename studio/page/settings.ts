/** The settings of a run, from what is chosen and what suits the model. */
import type { MethodInfo, ModelInfo, RunSettings, Surroundings } from "../protocol.ts";
import type { State } from "./state.ts";

/** Below this, papers' rates are too low for a short run. */
const SMALL = 2e7;

/** What a tab sets by itself, where nothing else is chosen: rows and passes that suit its memory. */
export function suitable(model: ModelInfo, method: MethodInfo | undefined): Readonly<Record<string, string>> {
  const isSmall = model.parameters < SMALL;
  return {
    ...isSmall && method !== undefined && { "learning-rate": String(method.rate) },
    "batch-size": isSmall ? "8" : "1",
    accumulate: isSmall ? "1" : "4",
    "max-length": String(Math.min(256, model.context)),
  };
}

/** A method by name. */
export const methodOf = (surroundings: Surroundings | undefined, name: string): MethodInfo | undefined =>
  surroundings?.families.flatMap(({ methods }) => methods).find((method) => method.name === name);

/** The run that the page would start, into a folder; undefined before model and data are chosen. */
export function settingsOf(state: State, output: string): RunSettings | undefined {
  const { surroundings, model, data, method, options, training, backend } = state;
  if (surroundings === undefined || model === undefined || data === undefined) return undefined;
  return {
    ...{ model: model.name, data: data.name, output, method, options, backend },
    training: { ...suitable(model, methodOf(surroundings, method)), ...training },
    threads: surroundings.threads,
  };
}
