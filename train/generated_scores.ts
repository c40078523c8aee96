/** ROUGE of generated texts: prompts continued greedily, compared with the reference answers. */
import { generate, type Model } from "../core/mod.ts";
import { meanRouge, rouge, type RougeOptions, type RougeScores } from "./rouge.ts";
import type { Rows } from "./rows.ts";
import { IGNORED } from "./truncation.ts";
import { alone, gatherJson, inOrder, shareOf, type World } from "./world.ts";

/** The reference and the generated continuation of one prompt. */
export interface Sample {
  /** The reference text. */
  readonly reference: string;
  /** The generated text. */
  readonly written: string;
}

/** How to generate and score. */
export interface GeneratedOptions {
  /** Maximum number of generated tokens per text. */
  readonly maxNewTokens: number;
  /** Prompts continued together, default 8. */
  readonly batchSize?: number;
  /** Options of ROUGE. */
  readonly rouge?: RougeOptions;
  /** The processes that share the batches out. Default: this one alone. */
  readonly world?: World;
  /** Awaited between batches; throwing aborts the work. */
  between?(): void | Promise<void>;
}

/**
 * The prompt of a row: the tokens before its last answer. All of a raw text is an answer.
 *
 * @example
 * ```ts
 * import { promptOf, rowsFrom } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const rows = rowsFrom([{ inputIds: [5, 6, 7, 2], labels: [-100, -100, 7, 2] }]);
 * assert.deepEqual(promptOf(rows, 0), [5, 6]);
 * ```
 */
export function promptOf(rows: Rows, n: number): readonly number[] {
  const { inputIds, labels } = rows.tokens(n);
  const end = labels.findLastIndex((label) => label !== IGNORED);
  const before = labels.slice(0, end + 1).lastIndexOf(IGNORED);
  return end === -1 ? inputIds : inputIds.slice(0, before + 1);
}

/**
 * Continues the prompt of each row.
 *
 * @param references The reference answers, by row.
 * @example
 * ```ts
 * import { freshModel, reference, smallConfig } from "@graft/peft";
 * import { rowsFrom, samplesOf } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const tokenizer = {
 *   encode: (text: string) => [...text].map((letter) => letter.charCodeAt(0) % 32),
 *   decode: (ids: readonly number[]) => ids.map((id) => String.fromCharCode(96 + id)).join(""),
 * };
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0, tokenizer });
 * const rows = rowsFrom([{ inputIds: [1, 2, 3], labels: [-100, -100, 3] }]);
 * const [sample] = await samplesOf(model, rows, ["c"], { maxNewTokens: 4 });
 * assert.equal(sample?.reference, "c");
 * assert.ok(sample.written.length > 0);
 * ```
 */
export async function samplesOf(
  model: Model,
  rows: Rows,
  references: readonly string[],
  options: GeneratedOptions,
): Promise<readonly Sample[]> {
  const { maxNewTokens, batchSize = 8, world = alone } = options;
  await rows.sized?.();
  // Prompts of similar length are batched together, so that there is little padding.
  const order = references.map((_, n) => n).sort((a, b) => rows.lengths[b]! - rows.lengths[a]!);
  const own: (readonly string[])[] = [];
  for (const i of shareOf(world, Math.ceil(order.length / batchSize))) {
    const numbers = order.slice(i * batchSize, (i + 1) * batchSize);
    const texts = await generate(model, numbers.map((n) => promptOf(rows, n)), { maxNewTokens });
    own.push(texts.map((text) => text.trim()));
    await options.between?.();
  }
  const written: string[] = [];
  inOrder(await gatherJson(world, own)).flat().forEach((text, i) => written[order[i]!] = text);
  return references.map((reference, n) => ({ reference, written: written[n]! }));
}

/**
 * The mean scores of some samples.
 *
 * @throws {RangeError} when there is none.
 * @example
 * ```ts
 * import { scoresOf } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const samples = [
 *   { reference: "the parcel is late", written: "The parcel is late." },
 *   { reference: "the parcel is late", written: "Something else" },
 * ];
 * assert.equal(scoresOf(samples).rougeL.f1, 0.5);
 * ```
 */
export function scoresOf(samples: readonly Sample[], options: RougeOptions = {}): RougeScores {
  return meanRouge(samples.map(({ reference, written }) => rouge(reference, written, options)));
}

/**
 * The first utterances of a dialogue as its summary: the baseline that needs no model. An utterance is a
 * nonempty line.
 *
 * @example
 * ```ts
 * import { leadUtterances } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * assert.equal(leadUtterances("A: Hi.\n\nB: Hello.\nA: Bye.", 2), "A: Hi.\nB: Hello.");
 * ```
 */
export function leadUtterances(dialogue: string, count: number): string {
  return dialogue.split(/\r?\n/).filter((line) => line.trim() !== "").slice(0, count).join("\n");
}
