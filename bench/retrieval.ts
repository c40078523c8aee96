/**
 * `deno task retrieval MODEL DATA [FOLDER] [STEPS] [BACKEND]`: whether a summary finds its dialogue. DATA has lines of `dialogue` and
 * `summary`. The first half of the dialogues are trained on, by in-batch negatives through the command line as a user would; the summaries
 * of the other half are the queries, and all dialogues are searched. Printed are recall@1 and the mean reciprocal rank, before and after.
 */
import { graft } from "../core/mod.ts";
import { loadAdapter } from "../io/load_adapter.ts";
import { embedTexts, loadEmbedder } from "../io/sentence_transformers.ts";
import { native } from "../ops/native/mod.ts";
import { wasm } from "../ops/wasm/mod.ts";
import { retrievalScores } from "../train/mod.ts";

const [model, data, folder = "runs/retrieval", steps = "100", backend = "native"] = Deno.args;
if (model === undefined || data === undefined) {
  console.error("Usage: deno task retrieval MODEL DATA.jsonl [FOLDER] [STEPS] [BACKEND]");
  Deno.exit(2);
}

/** Longest text in tokens; of longer dialogues the beginning is read, in training and in search. */
const LENGTH = 256;

const rows = (await Deno.readTextFile(data)).trim().split("\n").map((line) =>
  JSON.parse(line) as { readonly dialogue: string; readonly summary: string }
);
const half = Math.floor(rows.length / 2);
await Deno.mkdir(folder, { recursive: true });
await Deno.writeTextFile(
  `${folder}/pairs.jsonl`,
  rows.slice(0, half).map(({ dialogue, summary }) =>
    `${JSON.stringify({ anchor: summary, positive: dialogue })}\n`
  ).join(""),
);

const { success } = await new Deno.Command(Deno.execPath(), {
  args: [
    ...["run", "-A", new URL("../cli/main.ts", import.meta.url).pathname, "finetune", "-m", model],
    ...["-d", `${folder}/pairs.jsonl`, "-o", `${folder}/adapter`, "--overwrite", "--objective", "ranking"],
    ...["--max-length", String(LENGTH), "--batch-size", "16", "--accumulate", "1", "--epochs", "100"],
    ...["--max-steps", steps, "--held-out", "0", "--backend", backend],
  ],
  stdout: "inherit",
  stderr: "inherit",
}).output();
if (!success) Deno.exit(1);

const computing = backend === "native" ? await native() : await wasm();
const embedder = await loadEmbedder(model, { backend: computing });
const adapter = await loadAdapter(`${folder}/adapter`, embedder.model);

/** Scores of a model's vectors. */
async function searched(
  tuned: typeof embedder.model,
): Promise<{ readonly recall: number; readonly mrr: number }> {
  const own = { ...embedder, model: tuned, maxLength: LENGTH };
  const texts = await embedTexts(own, rows.map(({ dialogue }) => dialogue), { batchSize: 8 });
  const queries = await embedTexts(own, rows.slice(half).map(({ summary }) => summary), { batchSize: 8 });
  const relevant = queries.map((_, i) => [half + i]);
  return {
    recall: retrievalScores(queries, texts, relevant, 1).recall,
    mrr: retrievalScores(queries, texts, relevant, rows.length).mrr,
  };
}

console.log(
  `${
    rows.length - half
  } summaries search ${rows.length} dialogues; ${half} pairs to train on, ${steps} steps of 16`,
);
console.log("          recall@1     MRR");
for (
  const [name, tuned] of [["untuned", embedder.model], ["tuned", graft(embedder.model, adapter)]] as const
) {
  const { recall, mrr } = await searched(tuned);
  console.log(`${name.padEnd(8)}  ${recall.toFixed(3).padStart(8)}  ${mrr.toFixed(3).padStart(6)}`);
}
embedder.model.dispose();
computing.close();
