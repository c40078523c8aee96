/** Models and batches of AdapterHub's golden folders. */
import type { Batch } from "../../../core/mod.ts";
import { GOLDEN } from "../../support/golden.ts";

const BASES = [
  "bert_text",
  "bert_tags",
  "bert_mask",
  "roberta_text",
  "roberta_tags",
  "t5_gated",
  "t5",
  "llama",
  "gpt2",
];

/** The model of a folder, by its name. */
export function baseOf(kind: string): string {
  return BASES.find((base) => kind.startsWith(`${base}_`))!;
}

/** The folder of a model. */
export function hubModel(base: string): string {
  const others: Readonly<Record<string, string>> = { llama: "llama_lora/base", gpt2: "models/gpt2" };
  return `${GOLDEN}${others[base] ?? `encoders/${base}`}`;
}

function stored(base: string): Batch {
  const file = ["llama", "gpt2"].includes(base) ? "llama_lora/batch.json" : `encoders/${base}/case.json`;
  return JSON.parse(Deno.readTextFileSync(`${GOLDEN}${file}`)) as Batch;
}

/** What a model of a base is to answer. */
export function hubLabels(base: string): NonNullable<Batch["labels"]> {
  return stored(base).labels!;
}

/** A batch padded on the right: the library finds a text's end by its length. */
export function hubBatch(base: string): Batch {
  const { labels, ...batch } = stored(base);
  const attentionMask = batch.attentionMask!.map((row) => {
    const length = row.filter((m) => m === 1).length;
    return row.map((_, i) => i < length ? 1 : 0);
  });
  return { ...batch, attentionMask, ...base.startsWith("t5") && labels && { labels } };
}

/** Which branch each row names where a setup gives rows their own; `times`: how often the batch stands there. */
const ROWS: Readonly<Record<string, { readonly times: number; readonly rows: readonly string[] }>> = {
  batch_split: { times: 1, rows: ["a", "b", "b"] },
  roberta_tags_batch_split: { times: 1, rows: ["a_b", "c", "c"] },
  llama_batch_split: { times: 1, rows: ["a", "b"] },
  multi_task: { times: 1, rows: ["b", "a", "b"] },
  llama_parallel: { times: 2, rows: ["a", "a", "b", "b"] },
  llama_parallel_lora: { times: 2, rows: ["a", "a", "b", "b"] },
  t5_parallel: { times: 3, rows: ["a", "a", "a", "b", "b", "b", "c", "c", "c"] },
  roberta_tags_parallel_stack: { times: 2, rows: ["a_b", "a_b", "a_b", "c", "c", "c"] },
  parallel: { times: 2, rows: ["a", "a", "a", "b", "b", "b"] },
};

/** The batch of a folder: with the rows' branches, and once for each branch of Parallel, as the library repeats it. */
export function folderBatch(kind: string): Batch {
  const batch = hubBatch(baseOf(kind));
  const by = ROWS[kind] ??
    Object.entries(ROWS).find(([end]) => new RegExp(`_${end}(_prefix|_heads)?$`).test(kind))?.[1];
  if (by === undefined) return batch;
  const fields = Object.entries(batch as unknown as Readonly<Record<string, readonly unknown[]>>)
    .map(([name, rows]) => [name, Array.from({ length: by.times }, () => rows).flat()]);
  return { ...Object.fromEntries(fields), rows: by.rows };
}
