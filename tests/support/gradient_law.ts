/**
 * The law of live parameters: whatever trains can change the loss. From random parameters every trained leaf has a gradient
 * that is not zero throughout, in one of a few passes over random models, texts and draws, on every family of models that
 * takes the method; a leaf that has none is listed with the reason.
 */
import assert from "node:assert/strict";
import { type Batch, leaves, lossAndGradients, type Model, read } from "../../core/mod.ts";
import type { reference } from "../../ops/reference/mod.ts";
import { free } from "./law_numbers.ts";
import { type Made, type TinyModel, withSubject } from "./subject.ts";
import { tinyBert, tinyGemma, tinyGpt2, tinyLlama, tinyQwen3, tinyT5 } from "./tiny_models.ts";

/** Trained leaves that have no gradient, and why not. */
export interface NoGradient {
  readonly leaves: RegExp;
  /** Families by name; default all. */
  readonly on?: RegExp;
  /** A sentence. */
  readonly because: string;
}

/** Every family, by name; encoders with each of their heads. */
const FAMILIES: Readonly<Record<string, TinyModel>> = {
  "Llama": (backend, key) => tinyLlama(backend, key),
  "GPT-2": (backend, key) => tinyGpt2(backend, key),
  "Qwen3": (backend, key) => tinyQwen3(backend, key),
  "Gemma 3": (backend, key) => tinyGemma(backend, key),
  "T5": (backend, key) => tinyT5(backend, key, { headDim: 4 }),
  "BERT for classes": (backend, key) => tinyBert(backend, key),
  "BERT for tags": (backend, key) => tinyBert(backend, key, { head: "tag" }),
  "BERT for words": (backend, key) => tinyBert(backend, key, { head: "mask" }),
  "RoBERTa for classes": (backend, key) => tinyBert(backend, key, { family: "roberta" }),
  "RoBERTa for tags": (backend, key) => tinyBert(backend, key, { family: "roberta", head: "tag" }),
  "RoBERTa for words": (backend, key) => tinyBert(backend, key, { family: "roberta", head: "mask" }),
};

/** Passes until a leaf without a gradient counts as dead: draws leave out experts, and ReLUs close. */
const PASSES = 6;

/** Texts with most of the vocabulary; 1 is RoBERTa's padding and stands in none of them. */
const TEXTS = [[3, 9, 4, 10, 5, 0], [2, 6, 8, 7, 0, 3], [0, 4, 5, 8, 2, 9]];
const TEXT_BATCH: Batch = {
  inputIds: TEXTS,
  attentionMask: TEXTS.map((row, i) => row.map((_, j) => i === 1 && j > 3 ? 0 : 1)),
  labels: TEXTS.map((row, i) => row.map((id, j) => i === 1 && j > 3 ? -100 : id % 3)),
};

/**
 * Holds the law.
 *
 * @throws when a leaf has no gradient without a reason, a reason is of no leaf, or no family takes the method.
 */
export async function everyLeafHasAGradient(
  make: (model: Model) => Made,
  { backend, batch: wanted, none = [] }: {
    readonly backend: ReturnType<typeof reference>;
    batch(batch: Batch): Batch;
    readonly none?: readonly NoGradient[];
  },
): Promise<void> {
  const dead: string[] = [];
  const used = new Set<NoGradient>();
  const refusals: string[] = [];
  for (const [family, model] of Object.entries(FAMILIES)) {
    let zero: ReadonlySet<string> | undefined;
    let fits = false;
    try {
      for (let seed = 0; seed < PASSES && (zero === undefined || zero.size > 0); seed++) {
        const found = await zeroLeaves(
          { seed, model, batch: wanted(TEXT_BATCH) },
          backend,
          make,
          () => fits = true,
        );
        zero = zero === undefined ? found : zero.intersection(found);
      }
    } catch (error) {
      if (!isRefusal(error, fits)) throw error;
      refusals.push(`${family}: ${error.message}`);
      continue;
    }
    for (const path of zero!) {
      const reason = none.find(({ leaves, on = /./ }) => leaves.test(path) && on.test(family));
      if (reason === undefined) dead.push(`${family}: ${path}`);
      else used.add(reason);
    }
  }
  assert.ok(refusals.length < Object.keys(FAMILIES).length, refusals.join("\n"));
  assert.deepEqual(dead, [], "trained leaves without a gradient");
  const idle = none.filter((reason) => !used.has(reason)).map(({ leaves }) => `${leaves}`);
  assert.deepEqual(idle, [], "reasons that no leaf needs");
}

/** A method that a family has no place for says so at init, or a gate over a text in the pass, of a head that reads one state per text. */
const isRefusal = (error: unknown, fits: boolean): error is RangeError | TypeError =>
  fits
    ? error instanceof RangeError && error.message.startsWith("Cannot gate the ")
    : error instanceof RangeError || error instanceof TypeError;

/** The trained leaves whose gradient is zero throughout in one pass. */
async function zeroLeaves(
  subject: Parameters<typeof withSubject>[0],
  backend: ReturnType<typeof reference>,
  make: (model: Model) => Made,
  onReached: () => void,
): Promise<ReadonlySet<string>> {
  const zero = new Set<string>();
  await withSubject(subject, backend, make, async ({ model, adapter, batch, key }) => {
    onReached();
    const labelled = model.architecture.labels(model) === "class"
      ? { ...batch, labels: batch.inputIds.map((_, i) => i) }
      : batch;
    const step = lossAndGradients(model, adapter, labelled, { train: true, key });
    for (const [path, gradient] of leaves(step.gradients)) {
      if ((await read(gradient)).every((x) => x === 0)) zero.add(path);
    }
    free(step);
  });
  return zero;
}
