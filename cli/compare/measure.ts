/** What `graft compare` measures of a model, before and after training. */
import type { Model } from "../../core/mod.ts";
import type { Tokenizer } from "../../formats/tokenizer.ts";
import {
  contextOf,
  evaluateObjective,
  faithfulness,
  heldOutLoss,
  type Objective,
  pickRows,
  type Rows,
  type Sample,
  samplesOf,
  scoresOf,
} from "../../train/mod.ts";
import type { Data } from "../data.ts";
import { labelledEvaluation, padOf } from "../finetune/evaluation.ts";

/** How to measure. */
export interface MeasureSettings {
  readonly batchSize: number;
  /** Number of answers to generate and score. */
  readonly rouge: number;
  readonly maxNewTokens: number;
  /** Words that are facts beside names, numbers and dates. */
  readonly terms: readonly string[];
}

/** Held-out loss, ROUGE-L and faithfulness, with the generated texts, or what else the objective or the labels measure. */
export interface Measured {
  readonly loss: number;
  /** The objective's metrics, or scores of predicted labels, by name. */
  readonly metrics?: Readonly<Record<string, number>>;
  /** Mean F1; absent when no answers were requested. */
  readonly rougeL?: number;
  /** Shares of true and of wanted facts, over all answers; absent where there is no fact. */
  readonly precision?: number;
  readonly recall?: number;
  readonly samples: readonly WrittenSample[];
}

/** A sample with the conversation, or whatever the prompt gives, that it answers. */
export interface WrittenSample extends Sample {
  readonly conversation: string;
}

/**
 * Measures a model on held-out rows: under an objective by it; by labels where the texts have such; else by the loss of answers and by
 * some that it writes.
 *
 * @param base The model without what is trained.
 */
export async function measure(
  model: Model<Tokenizer>,
  base: Model<Tokenizer>,
  data: Data,
  settings: MeasureSettings,
  objective: Objective | undefined,
): Promise<Measured> {
  const how = { batchSize: settings.batchSize, pad: padOf(model.tokenizer) };
  const found = objective !== undefined
    ? await evaluateObjective(model, data.heldOut, objective, { ...how, base })
    : data.texts !== undefined
    ? { loss: (await heldOutLoss(model, data.heldOut, how)).loss, metrics: {} }
    : await labelled(model, data.heldOut, how);
  const { loss } = found;
  const metrics = Object.keys(found.metrics).length > 0 && { metrics: found.metrics };
  const n = data.texts === undefined ? 0 : Math.min(settings.rouge, data.heldOut.count);
  if (n === 0) return { loss, ...metrics, samples: [] };
  const numbers = Array.from({ length: n }, (_, i) => i);
  const examples = numbers.map((i) => data.texts!.heldOut(i));
  const references = examples.map(({ answer }) => answer);
  const written = await samplesOf(model, pickRows(data.heldOut, numbers), references, {
    maxNewTokens: settings.maxNewTokens,
    batchSize: 16,
  });
  const samples = written.map((sample, i) => ({ ...sample, conversation: contextOf(examples[i]!) }));
  const { precision, recall } = faithfulness(
    samples.map(({ conversation, reference, written }) => ({ conversation, wanted: reference, written })),
    settings,
  );
  return {
    loss,
    ...metrics,
    rougeL: scoresOf(samples).rougeL.f1,
    ...precision !== undefined && { precision },
    ...recall !== undefined && { recall },
    samples,
  };
}

async function labelled(
  model: Model<Tokenizer>,
  rows: Rows,
  how: { readonly batchSize: number },
): Promise<Pick<Measured, "loss"> & { readonly metrics: Readonly<Record<string, number>> }> {
  const { loss, ...metrics } = await labelledEvaluation(model, rows, how);
  return { loss, metrics };
}
