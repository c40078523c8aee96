/** Models and batches of AdapterHub's golden folders. */
import type { Batch } from "../../core/mod.ts";
import { GOLDEN } from "../support/golden.ts";

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
  const others: Readonly<Record<string, string>> = { llama: "llama_tiny/base", gpt2: "models/gpt2" };
  return `${GOLDEN}${others[base] ?? `encoders/${base}`}`;
}

/** A batch padded on the right: the library finds a text's end by its length. */
export function hubBatch(base: string): Batch {
  const file = ["llama", "gpt2"].includes(base) ? "llama_tiny/batch.json" : `encoders/${base}/case.json`;
  const { labels, ...batch } = JSON.parse(Deno.readTextFileSync(`${GOLDEN}${file}`)) as Batch;
  const attentionMask = batch.attentionMask!.map((row) => {
    const length = row.filter((m) => m === 1).length;
    return row.map((_, i) => i < length ? 1 : 0);
  });
  return { ...batch, attentionMask, ...base.startsWith("t5") && labels && { labels } };
}
