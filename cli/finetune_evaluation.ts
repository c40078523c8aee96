/** The measure of a run: held-out loss, and ROUGE of what the model writes where it was asked for. */
import type { Model } from "../core/mod.ts";
import { events, Interruption } from "../recipes/supervised.ts";
import { heldOutLoss, pickRows, type Rows, samplesOf, scoresOf } from "../train/mod.ts";
import type { Tokenizer } from "../formats/tokenizer.ts";
import type { Data } from "./data.ts";
import type { FinetuneFlags } from "./finetune_settings.ts";
import type { Interrupt } from "./interrupt.ts";

/** Numbers of one evaluation; ROUGE are means of F1. */
export interface Evaluation {
  readonly loss: number;
  readonly perplexity: number;
  readonly rouge1?: number;
  readonly rouge2?: number;
  readonly rougeL?: number;
}

/** Rows to measure on, with their wanted answers. */
interface Held {
  readonly rows: Rows;
  answer(n: number): string;
}

/** How to evaluate a tuned model; undefined when nothing is held out. */
export function evaluator(
  flags: FinetuneFlags,
  data: Data,
  other: Data | undefined,
  interrupt: Interrupt,
): ((tuned: Model<Tokenizer>) => Promise<Evaluation>) | undefined {
  const held: Held = other === undefined
    ? { rows: data.heldOut, answer: (n) => data.heldOutExample(n).answer }
    : { rows: other.train, answer: (n) => other.trainExample(n).answer };
  if (held.rows.count === 0) return undefined;
  const between = async (): Promise<void> => {
    await events();
    if (interrupt.wanted) throw new Interruption();
  };
  return async (tuned) => {
    const { eos, pad } = tuned.tokenizer;
    const { loss, perplexity } = await heldOutLoss(tuned, held.rows, {
      batchSize: flags.batchSize,
      pad: pad ?? eos ?? 0,
      between,
    });
    const n = Math.min(flags.rouge, held.rows.count);
    if (n === 0) return { loss, perplexity };
    const numbers = Array.from({ length: n }, (_, i) => i);
    const samples = await samplesOf(tuned, pickRows(held.rows, numbers), numbers.map(held.answer), {
      maxNewTokens: flags.maxNewTokens,
      between,
    });
    const { rouge1, rouge2, rougeL } = scoresOf(samples);
    return { loss, perplexity, rouge1: rouge1.f1, rouge2: rouge2.f1, rougeL: rougeL.f1 };
  };
}
