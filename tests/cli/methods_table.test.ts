/** `graft methods`: the table of a config's shapes, beside the article's, and what it refuses. */
import assert from "node:assert/strict";
import { agrees, ARTICLE } from "../../cli/article_tables.ts";
import { newProgram, runProgram } from "../../cli/arguments.ts";
import { TABLE } from "../../cli/method_settings.ts";
import { answers, methods, tableRows } from "../../cli/methods_table.ts";
import type { MethodFacts } from "../../core/mod.ts";
import { configShapes } from "../../io/model_shapes.ts";
import { assertNoLeak } from "../support/assert.ts";

const T5_BASE = {
  model_type: "t5",
  d_model: 768,
  num_heads: 12,
  d_kv: 64,
  d_ff: 3072,
  num_layers: 12,
  vocab_size: 32_128,
};
const BERT_BASE = {
  model_type: "bert",
  architectures: ["BertModel"],
  hidden_size: 768,
  num_hidden_layers: 12,
  num_attention_heads: 12,
  intermediate_size: 3072,
  vocab_size: 30_522,
  max_position_embeddings: 512,
  type_vocab_size: 2,
};

/** Facts by name. */
function factsOn(
  config: Parameters<typeof configShapes>[0],
  only: readonly string[],
): ReadonlyMap<string, MethodFacts> {
  const model = configShapes(config);
  const rows = tableRows(model, { only, tokens: 64 });
  model.dispose();
  return new Map(rows.map((row) => {
    assert.ok("facts" in row, `${row.name}: ${"refused" in row && row.refused}`);
    return [row.name, row.facts];
  }));
}

const percent = ({ trained }: MethodFacts): string => (100 * trained.trainable / trained.base).toFixed(3);

Deno.test("the table has the literature's percentages on T5-base", () =>
  assertNoLeak(() => {
    const wanted = {
      houlsby: "0.832",
      phmAdapter: "0.179",
      compacter: "0.073",
      compacterPlusPlus: "0.047",
      krona: "0.071",
      promptTuning: "0.034",
    };
    const facts = factsOn(T5_BASE, Object.keys(wanted));
    assert.deepEqual(Object.fromEntries([...facts].map(([name, f]) => [name, percent(f)])), {
      ...Object.fromEntries([...facts.keys()].map((name) => [name, wanted[name as keyof typeof wanted]])),
    });
    const exact = {
      houlsby: 1_855_104,
      phmAdapter: 398_976,
      compacter: 161_728,
      compacterPlusPlus: 104_704,
      krona: 158_208,
    };
    for (const [name, n] of Object.entries(exact)) assert.equal(facts.get(name)!.trained.trainable, n, name);
  }));

Deno.test("the article's answers come out where sources confirm them, and not where they refute them", () =>
  assertNoLeak(() => {
    const facts = factsOn(BERT_BASE, ["diffPruning", "lora", "ladderSideTuning", "ia3", "houlsby", "bitfit"]);
    const answer = (name: string) => answers(facts.get(name)!);
    assert.deepEqual(answer("diffPruning"), {
      storage: "yes",
      memory: "no",
      backward: "no",
      overhead: "No overhead",
    });
    assert.deepEqual(answer("lora"), {
      storage: "yes",
      memory: "yes",
      backward: "no",
      overhead: "No overhead",
    });
    assert.deepEqual(answer("ladderSideTuning"), {
      storage: "yes",
      memory: "yes",
      backward: "yes",
      overhead: "Extra decoder",
    });
    assert.equal(answer("houlsby").overhead, "Extra FFN");
    assert.notEqual(answer("ia3").overhead, ARTICLE["ia3"]!.overhead); // it merges
    // A difference, a gate, and one gate for each of the 197 tensors, of 108,891,648 weights (no pooler).
    assert.equal(facts.get("diffPruning")!.trained.trainable, 2 * 108_891_648 + 197);
    assert.equal(facts.get("lora")!.multiplyAdds.extra, 12 * 2 * 8 * (768 + 768));
  }));

Deno.test("agrees() reads the article's ranges, alternatives and rounding", () => {
  for (
    const [n, text] of [[0.047, "0.05 - 0.1"], [0.5, "0.5"], [0.54, "0.5"], [19.1, "~0.5 or ~30"], [
      0.009,
      "0.001 - 0.1",
    ], [6.82, "more than 0.5"]] as const
  ) {
    assert.ok(agrees(n, text), `${n} is ${text}`);
  }
  for (
    const [n, text] of [[0.044, "0.05 - 0.1"], [0.56, "0.5"], [13.1, "~0.5 or ~30"], [2.2, "7.5"], [
      0.5,
      "more than 0.5",
    ]] as const
  ) {
    assert.ok(!agrees(n, text), `${n} is not ${text}`);
  }
});

Deno.test("every row of the article names a method that we have or know to be missing from the table", () => {
  const missing = Object.keys(ARTICLE).filter((name) => !TABLE.some((entry) => entry.name === name));
  // They need trained parts, data, or a task head.
  assert.deepEqual(missing.sort(), ["attentionFusion", "ipt", "lets", "sparseAdapter", "spot"]);
});

Deno.test("graft methods prints the table, and one line for what is wrong", async () => {
  const folder = Deno.makeTempDirSync();
  const config = `${folder}/config.json`;
  Deno.writeTextFileSync(
    config,
    JSON.stringify({ ...BERT_BASE, num_hidden_layers: 2, hidden_size: 64, num_attention_heads: 2 }),
  );
  const run = async (...args: readonly string[]) => {
    const program = newProgram("graft", "", "0");
    methods(program);
    const [said, complaints]: [string[], string[]] = [[], []];
    const write = Deno.stdout.writeSync;
    const warn = Deno.stderr.writeSync;
    Deno.stdout.writeSync = (bytes) => (said.push(new TextDecoder().decode(bytes)), bytes.length);
    Deno.stderr.writeSync = (bytes) => (complaints.push(new TextDecoder().decode(bytes)), bytes.length);
    try {
      const code = await runProgram(program, ["methods", ...args], (e) => void complaints.push(String(e)));
      return { code, said: said.join(""), complaints: complaints.join("") };
    } finally {
      Deno.stdout.writeSync = write;
      Deno.stderr.writeSync = warn;
    }
  };
  try {
    const plain = await run("--config", config, "--only", "lora,crossAttention");
    assert.equal(plain.code, 0);
    assert.match(plain.said, /^method .*MAdds\/token\n/);
    assert.match(plain.said, /\nlora +r 8 on q and v +R +4,096 +0\.15 /);
    assert.match(plain.said, /\ncrossAttention .* not on this model\n/);
    assert.match(
      plain.complaints,
      /^crossAttention: Cannot place crossAttention on bert: it has no attention/,
    );
    const article = await run("--config", config, "--only", "ia3", "--article");
    assert.match(article.said, /No overhead ≠ Extra gating/);
    assert.match(article.said, /\n {2}ia3: the scales merge into the weights/);
    const json = await run("--config", config, "--only", "lora", "--json");
    assert.equal(JSON.parse(json.said)[0].facts.trained.trainable, 4096);
    const wrong = await run("--config", config, "--only", "lora,magic");
    assert.equal(wrong.code, 2);
    assert.match(
      wrong.complaints,
      /^UsageError: Expected --only to name methods of the table but found "magic": there are fullFineTune/,
    );
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});
