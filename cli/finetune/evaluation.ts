/**
 * The evaluation of a run: held-out loss, and depending on the data perplexity and ROUGE, or scores of
 * predictions.
 */
import type { Model } from "../../core/mod.ts";
import type { Tokenizer } from "../../formats/tokenizer.ts";
import { classNames } from "../../models/mod.ts";
import { events, Interruption } from "../../recipes/supervised.ts";
import {
  evaluateObjective,
  heldOutLoss,
  type HeldOutOptions,
  type Objective,
  pickRows,
  predict,
  predictionScores,
  type Rows,
  samplesOf,
  scoresOf,
  type World,
} from "../../train/mod.ts";
import { type Data, labelsOf } from "../data.ts";
import type { FinetuneFlags } from "./settings.ts";
import type { Interrupt } from "../terminal/interrupt.ts";
import { typeError } from "../../errors/error.ts";

/** Results of one evaluation, by name; ROUGE values are means of F1. */
export interface Evaluation {
  readonly loss: number;
  readonly [score: string]: number;
}

/** Evaluates a tuned model; `passed` is called after every batch with the rows that it had at most. */
export type Evaluate = (tuned: Model<Tokenizer>, passed: (rows: number) => void) => Promise<Evaluation>;

/** How to evaluate a tuned model; undefined when nothing is held out. */
export function evaluator(
  flags: FinetuneFlags,
  data: Data,
  other: Data | undefined,
  interrupt: Interrupt,
  world: World,
  aim?: { readonly objective: Objective; readonly base: Model },
): Evaluate | undefined {
  const rows = other === undefined ? data.heldOut : other.train;
  if (rows.count === 0) return undefined;
  const betweenOf = (passed: (rows: number) => void) => async (): Promise<void> => {
    passed(flags.batchSize);
    await events();
    if (interrupt.wanted) throw new Interruption();
  };
  if (aim !== undefined) {
    return (tuned, passed) =>
      objectiveEvaluation(aim.objective, tuned, aim.base, rows, {
        batchSize: flags.batchSize,
        pad: padOf(tuned.tokenizer),
        world,
        between: betweenOf(passed),
      });
  }
  const answer = other === undefined ? data.texts?.heldOut : other.texts?.train;
  if (answer === undefined) {
    return (tuned, passed) =>
      labelledEvaluation(tuned, rows, { batchSize: flags.batchSize, world, between: betweenOf(passed) });
  }
  const n = Math.min(flags.rouge, rows.count);
  const numbers = Array.from({ length: n }, (_, i) => i);
  return async (tuned, passed): Promise<Evaluation> => {
    const between = betweenOf(passed);
    const { loss, perplexity } = await heldOutLoss(tuned, rows, {
      batchSize: flags.batchSize,
      pad: padOf(tuned.tokenizer),
      world,
      between,
    });
    if (n === 0) return { loss, perplexity };
    const samples = await samplesOf(tuned, pickRows(rows, numbers), numbers.map((i) => answer(i).answer), {
      maxNewTokens: flags.maxNewTokens,
      world,
      between,
    });
    const { rouge1, rouge2, rougeL } = scoresOf(samples);
    return { loss, perplexity, rouge1: rouge1.f1, rouge2: rouge2.f1, rougeL: rougeL.f1 };
  };
}

/** Loss and scores of a classifier, tagger or scorer; loss and perplexity of raw texts. */
export async function labelledEvaluation(
  model: Model<Tokenizer>,
  rows: Rows,
  options: Omit<HeldOutOptions, "pad">,
): Promise<Evaluation> {
  const how = { ...options, pad: padOf(model.tokenizer) };
  const { loss, perplexity } = await heldOutLoss(model, rows, how);
  const kind = labelsOf(model);
  if (kind === "next") return { loss, perplexity }; // a raw text
  if (kind === undefined) {
    throw typeError("INVALID_ARGUMENT", "Expected a model with a head for labels but found none");
  }
  const predictions = await predict(model, rows, how);
  return { loss, ...predictionScores(kind, predictions, classNames(model).length) };
}

/** The evaluation of an objective: its loss and metrics. */
async function objectiveEvaluation(
  objective: Objective,
  tuned: Model,
  base: Model,
  rows: Rows,
  options: HeldOutOptions,
): Promise<Evaluation> {
  const { loss, metrics } = await evaluateObjective(tuned, rows, objective, { ...options, base });
  return { loss, ...metrics };
}

/** "loss 1.2345, perplexity 3.44, ROUGE-L 0.1234", or the names of other scores. */
export function showEvaluation({ loss, ...scores }: Evaluation): string {
  const shown = Object.entries(scores).flatMap(([name, value]) => {
    switch (name) {
      case "perplexity":
        return [`perplexity ${value!.toFixed(2)}`];
      case "rouge1":
      case "rouge2":
        return [];
      case "rougeL":
        return [`ROUGE-L ${value!.toFixed(4)}`];
      default:
        return [`${name} ${value!.toFixed(4)}`];
    }
  });
  return [`loss ${loss!.toFixed(4)}`, ...shown].join(", ");
}

/** The padding token; its choice does not matter, since it is masked. */
export function padOf({ pad, eos }: Tokenizer): number {
  return pad ?? eos ?? 0;
}
