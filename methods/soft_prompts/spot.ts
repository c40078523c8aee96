/**
 * SPoT. Vu, Lester, Constant, Al-Rfou and Cer 2021, "SPoT: Better Frozen Model Adaptation through Soft Prompt Transfer",
 * arXiv 2110.07904.
 *
 *   P ← P_s                              the prompt of one source task (or a mixture)
 *   P ← Σ_i (s_i / Σ_j s_j) P_i          of the k sources most similar to the target task
 *
 * A task's embedding is its prompt after a few steps; similarity is the cosine of two prompts' mean rows, or
 * the mean cosine of all pairs of their rows. The paper does not say how to treat negative similarities: here
 * they get no weight.
 */
import {
  adapt,
  type Adapter,
  dispose,
  type Method,
  type MethodDefinition,
  read,
  sameShape,
  scope,
  showShape,
  type Synchronous,
  Tensor,
} from "../../core/mod.ts";
import {
  bounded,
  checkOptions,
  count,
  filled,
  number,
  oneOf,
  option,
  type Options,
  record,
  text,
} from "../../core/options/mod.ts";
import { addAll, divide, mean, multiply, sqrt, sum, sumOfSquares } from "../../ops/mod.ts";
import { freshParams } from "../shared/initial_factors.ts";
import { rowsSetting } from "../shared/model_sizes.ts";
import { type Folders, foldersOf, foldersSchema, freeAll, loadAll } from "../shared/sources.ts";
import { rowCount, whereOption } from "./prompt_options.ts";
import { type PromptParams, type PromptPosition, promptStack } from "./prompt_rows.ts";
import { promptTuning, type PromptTuningOptions } from "./prompt_tuning.ts";
import { storedRows, trainedPrompt } from "./stored_prompt.ts";
import { rangeError, typeError } from "../../errors/error.ts";

/** Trained prompts by the name of their task: adapters of prompt tuning, or of P-tuning once finalized. */
export type PromptSources = Readonly<Record<string, Adapter>>;

/** Options of SPoT. */
export interface SpotOptions {
  /** Trained prompts by their task's name. */
  readonly sources: PromptSources;
  /** Weight of each source, by name; sources not named get none. Required when there are several. */
  readonly weights?: Readonly<Record<string, number>>;
  /** As in prompt tuning; must match the sources. Default "front". */
  readonly where?: PromptTuningOptions["where"];
}

/**
 * Prompt tuning that starts from trained prompts. Parameters: `rows` [n, d].
 *
 * @throws {TypeError} when a source is not a finalized prompt.
 * @throws {RangeError} when sources differ in shape or place, or weights name no source.
 * @example
 * ```ts
 * import { promptTuning, reference, spot, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const rows = tensor([[0, 1], [2, 3]], { backend: reference() });
 * const mnli = { method: promptTuning({ length: 2 }), params: { rows } };
 * assert.equal(spot({ sources: { mnli } }).name, "spot");
 * rows.storage.free();
 * ```
 */
export function spot(options: SpotOptions): Method<PromptParams> {
  const { sources, where = "front", ...own } = options;
  checkOptions("spot", { where, ...own }, spotDefinition.options);
  const names = Object.keys(sources);
  if (options.weights === undefined && names.length !== 1) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Expected weights for ${names.length} source prompts but found none: see sourceWeights`,
    );
  }
  const weights = options.weights ?? { [names[0]!]: 1 };
  const used = Object.entries(weights).filter(([, weight]) => weight !== 0);
  const rows = used.map(([name]) => rowsOf(sources, name, where));
  const [first] = rows;
  if (first === undefined) {
    throw rangeError("INVALID_ARGUMENT", "Expected a source prompt with a weight but found none");
  }
  const odd = rows.findIndex((t) => !sameShape(t.shape, first.shape));
  if (odd >= 0) {
    throw rangeError(
      "METHOD_DOES_NOT_FIT",
      `Cannot mix source prompts of shapes ${showShape(first.shape)} ("${used[0]![0]}") and ` +
        `${showShape(rows[odd]!.shape)} ("${used[odd]![0]}")`,
    );
  }
  return {
    ...continued({ length: first.shape[0]!, where, weights }),
    init: ({ model }) => {
      const { width } = promptStack(model.spec, "spot");
      if (first.shape[1] !== width) {
        throw rangeError(
          "INVALID_ARGUMENT",
          `Expected source prompts of the model's width ${width} but found ${showShape(first.shape)}`,
        );
      }
      return freshParams(
        () => [["rows", addAll(rows.map((t, i) => multiply(t, used[i]![1])))]],
      ) as PromptParams;
    },
  };
}

/** The prompt that trains on, without the sources. */
function continued(config: SpotRecord): Method<PromptParams> {
  const { length, where } = config;
  return { ...promptTuning({ length, where }), name: "spot", config, definition: spotDefinition };
}

/** What a file holds. */
type SpotRecord = {
  readonly length: number;
  readonly where: PromptPosition;
  readonly weights: Readonly<Record<string, number>>;
};

const weightsOption = option(record(number), "the weight of each source, by name; one source needs none");

const FROM: Options = {
  sources: option(foldersSchema(1), "folders of the trained prompts, by their task's name"),
  task: option(text, "the folder of a prompt from early training, by which the nearest sources are chosen"),
  nearest: option(bounded(count, "parts"), "how many sources are chosen", 1),
  similarity: option(oneOf("means", "pairs"), "how two prompts are compared", "means"),
};

/** `spot` in records, which keep the weights and not the sources. */
export const spotDefinition: MethodDefinition = {
  name: "spot",
  summary: "Prompt tuning that starts from the trained prompts of other tasks.",
  facts: { "parameters kept": "n d", "parameters trained": "n d" },
  title: "SPoT",
  options: { weights: weightsOption, where: whereOption },
  recorded: ({ config }) => config,
  restore: (config) => {
    checkOptions("spot", config, { length: rowCount, where: whereOption, weights: weightsOption });
    return continued(config as SpotRecord) as Method;
  },
  cli: { rate: 3e-2, flags: [], also: FROM },
  prepare: async ({ model, options, load, seed }) => {
    const { sources: folders, weights, task, nearest, similarity, where } = filled(options, FROM) as
      & Pick<SpotOptions, "weights" | "where">
      & { readonly task?: string; readonly nearest: number; readonly similarity: PromptSimilarity }
      & { readonly sources?: Folders };
    const sources = await loadAll(load, foldersOf("spot", "sources", folders, 1));
    let early: Adapter | undefined;
    try {
      if (task !== undefined) early = await load(task);
      const mixed = weights ??
        (early && sourceWeights(await rankSources(early, sources, similarity), nearest));
      const method = spot({ sources, ...mixed && { weights: mixed }, ...where && { where } });
      return { adapter: adapt(model, method as Method, seed) };
    } finally {
      freeAll(sources);
      if (early !== undefined) dispose(early.params);
    }
  },
  plan: ({ model, options, stored }) => {
    const [folder] = Object.values(foldersOf("spot", "sources", options["sources"], 1));
    return promptTuning({ length: storedRows(stored(folder!), model.spec) }) as Method;
  },
  survey: {
    kinds: "A",
    storage: "yes",
    memory: "yes",
    backward: "no",
    overhead: "Extra input",
  },
  published: {
    setting: rowsSetting(100, " of another task").setting,
    make: (model) => spot({ sources: { source: trainedPrompt(model) } }) as Method,
  },
};

/** How the similarity of two tasks' prompts is measured. */
export type PromptSimilarity = "means" | "pairs";

/** A source and its similarity to a target. */
export interface RankedSource {
  /** The source task. */
  readonly name: string;
  /** From −1 to 1. */
  readonly similarity: number;
}

/**
 * Sources by their similarity to a target task, the most similar first. Both sides should be prompts of an
 * early checkpoint; continue training from the sources' best ones.
 *
 * @param similarity "means" (default): the cosine of the mean rows. "pairs": the mean of all pairs' cosines.
 * @example
 * ```ts
 * import { type Method, promptTuning, rankSources, reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const prompt = (rows: number[][]) => ({
 *   name: "prompt",
 *   method: promptTuning({ length: 1 }) as Method,
 *   params: { rows: tensor(rows, { backend }) },
 * });
 * const sources = { near: prompt([[1, 0.1]]), far: prompt([[-1, 0]]) };
 * const ranked = await rankSources(prompt([[1, 0]]), sources);
 * assert.deepEqual(ranked.map(({ name }) => name), ["near", "far"]);
 * ```
 */
export async function rankSources(
  target: Adapter,
  sources: PromptSources,
  similarity: PromptSimilarity = "means",
): Promise<readonly RankedSource[]> {
  const own = rowsOf({ target }, "target");
  const ranked: RankedSource[] = [];
  for (const name of Object.keys(sources)) {
    const value = scope((): Synchronous<Tensor> => promptSimilarity(own, rowsOf(sources, name), similarity));
    const [number] = await read(value);
    value.storage.free();
    ranked.push({ name, similarity: number! });
  }
  return ranked.sort((a, b) => b.similarity - a.similarity);
}

/**
 * Weights s_i / Σ s_j of the k most similar sources, for `spot`.
 *
 * @throws {RangeError} when k is not a positive integer, or none of the k has a positive similarity.
 * @example
 * ```ts
 * import { sourceWeights } from "@graft/peft/methods";
 * import assert from "node:assert/strict";
 * const ranked = [
 *   { name: "mnli", similarity: 0.6 },
 *   { name: "squad", similarity: 0.2 },
 *   { name: "boolq", similarity: 0.1 },
 * ];
 * assert.deepEqual(sourceWeights(ranked, 2), { mnli: 0.6 / 0.8, squad: 0.2 / 0.8 });
 * ```
 */
export function sourceWeights(ranked: readonly RankedSource[], k: number): Readonly<Record<string, number>> {
  if (!Number.isInteger(k) || k < 1) {
    throw rangeError("INVALID_ARGUMENT", `Expected k to be a positive integer but found ${k}`);
  }
  const best = ranked.slice(0, k).filter(({ similarity }) => similarity > 0);
  const total = best.reduce((n, { similarity }) => n + similarity, 0);
  if (total === 0) {
    throw rangeError(
      "METHOD_DOES_NOT_FIT",
      `Cannot weight the ${k} most similar prompts: none has a similarity above 0`,
    );
  }
  return Object.fromEntries(best.map(({ name, similarity }) => [name, similarity / total]));
}

/** The mean over tokens is taken before or after the rows are normalized to length 1. */
function promptSimilarity(a: Tensor, b: Tensor, similarity: PromptSimilarity): Tensor {
  const unit = (t: Tensor): Tensor => divide(t, sqrt(sumOfSquares(t, { axis: -1, keepAxes: true })));
  const center = (t: Tensor): Tensor => mean(t, { axis: 0, keepAxes: true }); // [1, d]
  return similarity === "means"
    ? sum(multiply(unit(center(a)), unit(center(b))))
    : sum(multiply(center(unit(a)), center(unit(b))));
}

function rowsOf(sources: PromptSources, name: string, where?: PromptTuningOptions["where"]): Tensor {
  const source = sources[name];
  if (source === undefined) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Expected a source prompt "${name}" but found ${Object.keys(sources).join(", ")}`,
    );
  }
  const { rows } = source.params;
  if (!(rows instanceof Tensor) || rows.shape.length !== 2) {
    throw typeError(
      "INVALID_ARGUMENT",
      `Expected "${name}" to be a trained prompt but found ${source.method.name}: finalize it first`,
    );
  }
  const found = source.method.config["where"] ?? "front";
  if (where !== undefined && JSON.stringify(found) !== JSON.stringify(where)) {
    throw rangeError(
      "METHOD_DOES_NOT_FIT",
      `Cannot start a prompt at ${JSON.stringify(where)} from "${name}", which stands at ${
        JSON.stringify(found)
      }`,
    );
  }
  return rows;
}
