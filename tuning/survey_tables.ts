/**
 * Tables 1 and 2 of "PEFT: Parameter-Efficient Fine-Tuning Methods for LLMs" (2025), the article that
 * summarizes the survey of Lialin et al. (arXiv 2303.15647), as printed, for comparison with computed values.
 * The names are ours; the ranges are percentages of the model's parameters.
 */

/** One method's rows. */
export interface ArticleRow {
  readonly kinds: string;
  readonly storage: ArticleAnswer;
  readonly memory: ArticleAnswer;
  readonly backward: ArticleAnswer;
  readonly overhead: string;
  readonly trainable?: string;
  readonly changed?: string;
}

/** Whether a method saves storage, memory or backward passes. */
export type ArticleAnswer = "yes" | "no" | "maybe";

const row = (
  kinds: string,
  answers: readonly [storage: ArticleAnswer, memory: ArticleAnswer, backward: ArticleAnswer],
  overhead: string,
  trainable?: string,
  changed?: string,
): ArticleRow => ({
  kinds,
  storage: answers[0],
  memory: answers[1],
  backward: answers[2],
  overhead,
  ...trainable !== undefined && { trainable },
  ...changed !== undefined && { changed },
});

const USUAL = ["yes", "yes", "no"] as const;
const ASIDE = ["yes", "yes", "yes"] as const;
const MAYBE = ["yes", "maybe", "no"] as const;
const [FFN, NONE, INPUT, BOTH] = ["Extra FFN", "No overhead", "Extra input", "Extra FFN and input"] as const;

/** The article's rows by the name of our method. */
export const ARTICLE: Readonly<Record<string, ArticleRow>> = {
  houlsby: row("A", USUAL, FFN, "0.1 - 6", "0.1 - 6"),
  adamix: row("A", USUAL, FFN, "0.1 - 0.2", "0.1 - 0.2"),
  "sparse-adapter": row("AS", USUAL, FFN, "2.0", "2.0"),
  "cross-attention": row("S", USUAL, NONE),
  bitfit: row("S", USUAL, NONE, "0.05 - 0.1", "0.05 - 0.1"),
  "diff-pruning": row("S", ["yes", "no", "no"], NONE, "200", "0.5"),
  "fish-mask": row("S", MAYBE, NONE, "0.01 - 0.5", "0.01 - 0.5"),
  "lt-sft": row("S", MAYBE, NONE),
  "prompt-tuning": row("A", USUAL, INPUT, "0.1", "0.1"),
  "prefix-tuning": row("A", USUAL, INPUT, "0.1 - 4.0", "0.1 - 4.0"),
  spot: row("A", USUAL, INPUT),
  ipt: row("A", USUAL, BOTH, "56.0", "56.0"),
  mam: row("A", USUAL, BOTH, "0.5", "0.5"),
  "parallel-adapter": row("A", USUAL, FFN, "0.5", "0.5"),
  "intrinsic-said": row("R", ["no", "no", "no"], NONE, "0.001 - 0.1", "~0.1 or 100"),
  lora: row("R", USUAL, NONE, "0.01 - 0.5", "~0.5 or ~30"),
  unipelt: row("AR", USUAL, BOTH, "1.0", "1.0"),
  compacter: row("AR", USUAL, FFN, "0.05 - 0.07", "~0.07 or ~0.1"),
  "phm-adapter": row("AR", USUAL, FFN, "0.2", "~0.2 or ~1.0"),
  krona: row("R", USUAL, NONE, "0.07", "~0.07 or ~30.0"),
  "krona-bres": row("AR", USUAL, "Extra linear layer", "0.07", "~0.07 or ~1.0"),
  ia3: row("A", USUAL, "Extra gating", "0.02", "0.02"),
  "attention-fusion": row("A", ASIDE, "Extra decoder"),
  lets: row("A", ASIDE, FFN),
  "ladder-side-tuning": row("A", ASIDE, "Extra decoder", "7.5", "7.5"),
  far: row("S", MAYBE, NONE, "6.6 - 26.4", "6.6 - 26.4"),
  s4: row("ARS", USUAL, BOTH, "0.5", "more than 0.5"),
};

/**
 * Whether a percentage agrees with the article's: within the range or equal to the number, both rounded to
 * its digits; for "~" within a factor of two; for "or" one of the alternatives.
 */
export function agrees(percent: number, printed: string): boolean {
  return printed.split(" or ").some((one) => {
    const more = /^more than (.*)$/.exec(one);
    if (more !== null) return percent > Number(more[1]);
    if (one.startsWith("~")) {
      const about = Number(one.slice(1));
      return percent >= about / 2 && percent <= about * 2;
    }
    const [low, high = low] = one.split(" - ") as [string, string?];
    const digits = Math.max(...[low, high].map((text) => text.split(".")[1]?.length ?? 0));
    const rounded = Number(percent.toFixed(digits));
    return rounded >= Number(low) && rounded <= Number(high);
  });
}

/** Why our cells may differ from the article's, where the sources say so. */
export const REASONS: Readonly<Record<string, string>> = {
  adamix:
    "the article counts the averaged experts, not those that train: 0.23 % of RoBERTa-large at d/64, 0.8 % of BERT-base at d/16",
  bitfit: "a model without biases gets new ones",
  compacter:
    "the article calls the low-rank form inside the adapter a reparametrisation; 0.07 % is T5-base, norms weigh more elsewhere",
  far: "the optimizer's state follows the learners; which other layers the paper trains is not known",
  "fish-mask": "gradients are dense for one weight at a time, and the optimizer's state follows the mask",
  ia3:
    "the scales merge into the weights, which then all change; 0.02 % is T0-3B with gated feed-forward parts",
  "intrinsic-said":
    "a seed and the vector are the whole checkpoint; what is large is the change of the weights",
  ipt: "56 % is the autoencoder over all tasks at 250 dimensions; one task trains its 5 to 250 numbers",
  krona:
    "percent changed is that of the matrices of this model's query and value layers; 0.07 % trainable is T5-base with its norms",
  "krona-bres":
    "the article calls the Kronecker form beside the layers a reparametrisation; whether its 0.07 % has biases is not known",
  "ladder-side-tuning": "7.5 % is BART-base at d/4 on pictures and text; T5-base at d/8 is 1.74 %",
  lets: "the attention's differences are counted before their pruning, and each branch runs a block again",
  "lt-sft": "gradients are dense for one weight at a time, and the optimizer's state follows the mask",
  lora: "percent changed is that of the matrices of this model's query and value layers",
  mam:
    "the network that makes the prefixes trains too, and is dropped afterwards; what is left is 0.48 % of RoBERTa-base",
  "parallel-adapter":
    "d/48 is the authors' r 16 on RoBERTa-base, 0.24 %; 0.5 % is twice that, and 6.2 % their r 512 on XSum",
  "phm-adapter": "the article calls the Kronecker form inside the adapter a reparametrisation",
  "prefix-tuning": "the network that makes the prefixes trains too, and is dropped afterwards",
  "prompt-tuning":
    "100 rows are 0.07 % of BERT-base's numbers and 0.03 % of T5-base's; the share falls as the model grows",
  s4: "the released code has no groups; ours follow the paper",
  "sparse-adapter":
    "the article calls the mask a selection; masked numbers still have a place and are counted",
  unipelt:
    "a network makes the prefixes in training, without it 1.29 % of BERT-base; no weight holds LoRA's gated update",
};
