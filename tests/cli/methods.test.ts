/** `graft methods`: the table of a config's shapes, beside the article's, and what it refuses. */
import assert from "node:assert/strict";
import { agrees, ARTICLE } from "../../tuning/survey_tables.ts";
import { newProgram, runProgram } from "../../cli/terminal/arguments.ts";
import { knownMethods } from "../../io/records/known_methods.ts";
import { trainableNames } from "../../tuning/chosen_method.ts";
import { publishedMethods } from "../../tuning/published.ts";
import type { ListedMethod } from "../../cli/methods/list.ts";
import { answers, methods, tableRows } from "../../cli/methods.ts";
import type { MethodCosts } from "../../core/mod.ts";
import * as methodsOf from "../../methods/mod.ts";
import { configShapes } from "../../io/model_shapes.ts";
import { assertNoLeak } from "../support/assert.ts";
import { hearStreams } from "../support/standard_streams.ts";

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
): ReadonlyMap<string, MethodCosts> {
  const model = configShapes(config);
  const rows = tableRows(model, { only, tokens: 64 });
  model.dispose();
  return new Map(rows.map((row) => {
    assert.ok("facts" in row, `${row.name}: ${"refused" in row && row.refused}`);
    return [row.name, row.facts];
  }));
}

const percent = ({ trained }: MethodCosts): string => (100 * trained.trainable / trained.base).toFixed(3);

Deno.test("the table has the literature's percentages on T5-base", () =>
  assertNoLeak(() => {
    const wanted = {
      houlsby: "0.832",
      "phm-adapter": "0.179",
      compacter: "0.073",
      "compacter-plus-plus": "0.047",
      krona: "0.071",
      "prompt-tuning": "0.034",
      "intrinsic-said": "0.009",
      "ladder-side-tuning": "1.740",
    };
    const facts = factsOn(T5_BASE, Object.keys(wanted));
    assert.deepEqual(Object.fromEntries([...facts].map(([name, f]) => [name, percent(f)])), {
      ...Object.fromEntries([...facts.keys()].map((name) => [name, wanted[name as keyof typeof wanted]])),
    });
    const exact = {
      houlsby: 1_855_104,
      "phm-adapter": 398_976,
      compacter: 161_728,
      "compacter-plus-plus": 104_704,
      krona: 158_208,
    };
    for (const [name, n] of Object.entries(exact)) assert.equal(facts.get(name)!.trained.trainable, n, name);
  }));

/** What is kept, as percent of the model, to two digits. */
const keptPercent = ({ kept, trained }: MethodCosts): string =>
  (100 * (kept.added + kept.changed) / trained.base).toFixed(2);

Deno.test("the table has the literature's percentages on BERT and RoBERTa", () =>
  assertNoLeak(() => {
    const roberta = {
      ...BERT_BASE,
      ...{ model_type: "roberta", architectures: ["RobertaModel"], vocab_size: 50_265, pad_token_id: 1 },
      ...{ max_position_embeddings: 514, type_vocab_size: 1 },
    };
    const large = {
      hidden_size: 1024,
      num_hidden_layers: 24,
      num_attention_heads: 16,
      intermediate_size: 4096,
    };
    // He et al.'s MAM on RoBERTa-base leaves 599,232 numbers, 0.48 %.
    const mam = factsOn(roberta, ["mam"]).get("mam")!;
    assert.deepEqual([mam.kept.added, keptPercent(mam)], [599_232, "0.48"]);
    // AdaMix leaves one adapter of 0.9 M; UniPELT 1,410,672, since a gated update changes no weight.
    const base = factsOn(BERT_BASE, ["adamix", "unipelt"]);
    assert.equal(base.get("adamix")!.kept.added, 894_528);
    const unipelt = base.get("unipelt")!.kept;
    assert.deepEqual([unipelt.added, unipelt.changed], [1_410_672, 0]);
    // BERT-large's biases but the pooler's 1024, of its weights but the pooler's.
    const bitfit = factsOn({ ...BERT_BASE, ...large, vocab_size: 28_996 }, ["bitfit"]).get("bitfit")!;
    assert.deepEqual([bitfit.trained.trainable, keptPercent(bitfit)], [272_384 - 1024, "0.08"]);
    const fusion = factsOn(BERT_BASE, ["adapter-fusion"]).get("adapter-fusion")!;
    assert.equal(fusion.trained.trainable, 21_252_096);
  }));

Deno.test("the article's answers come out where sources confirm them, and not where they refute them", () =>
  assertNoLeak(() => {
    const facts = factsOn(BERT_BASE, [
      "diff-pruning",
      "lora",
      "ladder-side-tuning",
      "ia3",
      "houlsby",
      "bitfit",
    ]);
    const answer = (name: string) => answers(facts.get(name)!);
    assert.deepEqual(answer("diff-pruning"), {
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
    assert.deepEqual(answer("ladder-side-tuning"), {
      storage: "yes",
      memory: "yes",
      backward: "yes",
      overhead: "Extra decoder",
    });
    assert.equal(answer("houlsby").overhead, "Extra FFN");
    assert.notEqual(answer("ia3").overhead, ARTICLE["ia3"]!.overhead); // it merges
    // A difference, a gate, and one gate for each of the 197 tensors, of 108,891,648 weights (no pooler).
    assert.equal(facts.get("diff-pruning")!.trained.trainable, 2 * 108_891_648 + 197);
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

/** Factories of methods by their public names; `combine` and the like make adapters of adapters. */
const FACTORIES: readonly string[] = publishedMethods().map(({ name }) =>
  name.replace(/-(.)/g, (_, c: string) => c.toUpperCase())
);

Deno.test("every method that trains has a row, and every row of the article one of ours", () => {
  const named = publishedMethods().map(({ name }) => name);
  assert.ok(named.length >= 81); // those of version 0.1
  assert.deepEqual(trainableNames().filter((name) => !named.includes(name)), []);
  for (const name of FACTORIES) {
    assert.equal(
      typeof (methodsOf as Record<string, unknown>)[name],
      "function",
      `no method's factory is exported as ${name}: its name is the method's in camel case ("lora-ga" is loraGa)`,
    );
  }
  assert.deepEqual(Object.keys(ARTICLE).filter((name) => !named.includes(name)), []);
});

/** The name of a factory's method. */
const kebab = (factory: string): string => factory.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`);

Deno.test("--only takes each method by its name, in any case, by its factory's and by its other names", () => {
  const model = configShapes(BERT_BASE);
  try {
    const rowsOf = (only: string): readonly string[] =>
      tableRows(model, { only: [only], tokens: 8 }).map(({ name }) => name);
    for (const factory of FACTORIES) {
      const name = kebab(factory);
      const { aliases = [] } = knownMethods().get(name);
      for (const given of [name, factory, name.toUpperCase(), name.replaceAll("-", "_"), ...aliases]) {
        assert.deepEqual(rowsOf(given), [name], given);
      }
    }
    assert.deepEqual(["full", "prefix", "LN_TUNING"].flatMap(rowsOf), [
      "full-fine-tune",
      "prefix-tuning",
      "layer-norm-tune",
    ]);
    assert.throws(
      () => rowsOf("prefix-tunning"),
      /"prefix-tunning" is not known: did you mean "prefix-tuning"\?/,
    );
  } finally {
    model.dispose();
  }
});

Deno.test("methods made of trained parts, or of weights and data, have the counts of their formulas on BERT-base", () =>
  assertNoLeak(() => {
    const lora = 12 * 2 * 8 * (768 + 768);
    const wanted = {
      rslora: lora,
      "lora-plus": lora,
      pissa: lora,
      olora: lora,
      loftq: lora,
      eva: lora,
      qlora: 12 * 64 * (4 * (768 + 768) + 2 * (768 + 3072)),
      "adapter-fusion": 21_252_096, // 12 (3 d² + 2 d)
      "sparse-adapter": 12 * 2 * (2 * 64 * 768 + 64 + 768),
      spot: 76_800,
      ipt: 250,
      "attention-fusion": 768,
      xlora: 768 * 2 + 2,
      "trainable-tokens": 10 * 768,
      only: 12 * 768 * 768,
    };
    const facts = factsOn(BERT_BASE, Object.keys(wanted));
    for (const [name, n] of Object.entries(wanted)) assert.equal(facts.get(name)!.trained.trainable, n, name);
    // On the base that everyone has, PiSSA and OLoRA are LoRA of twice the rank.
    for (const name of ["pissa", "olora"]) assert.equal(facts.get(name)!.storage, 4 * 2 * lora, name);
    assert.equal(facts.get("eva")!.storage, 4 * lora);
    // Two adapters down and up; the fusion's keys of both, its query and its value.
    const [d, r] = [768, 48];
    assert.equal(facts.get("adapter-fusion")!.multiplyAdds.extra, 12 * (2 * 2 * r * d + (2 + 1 + 1) * d * d));
    // The decoded prompt is what remains of IPT.
    assert.equal(facts.get("ipt")!.kept.trainable, 76_800);
    assert.equal(facts.get("ipt")!.storage, 4 * 76_800);
    assert.equal(facts.get("attention-fusion")!.backward.reached, 0);
  }));

Deno.test("on a small model with a short context, methods have sizes that fit it, and say which", () =>
  assertNoLeak(() => {
    const model = configShapes({
      ...{
        model_type: "llama",
        hidden_size: 36,
        intermediate_size: 50,
        num_hidden_layers: 3,
        vocab_size: 97,
      },
      ...{ num_attention_heads: 3, num_key_value_heads: 1, head_dim: 10, max_position_embeddings: 32 },
    });
    const rows = new Map(tableRows(model, {}).map((row) => [row.name, row]));
    const refused = [...rows.values()].flatMap((row) => "refused" in row ? [row.name] : []);
    assert.deepEqual(refused, ["s4", "cross-attention"]); // no encoder, fewer blocks than groups
    // q [30, 36] and v [10, 36] in three layers; 16 rows leave 16 of the 32 positions to the text.
    const wanted: Readonly<Record<string, readonly [setting: string, trainable: number]>> = {
      oft: ["blocks of 36 on q and v", 3 * 2 * (36 * 35 / 2)],
      miss: ["r 36 on q and v", 3 * 36 * (30 + 10)],
      fourierft: ["360 frequencies on q and v", 3 * 2 * 360],
      "prompt-tuning": ["16 rows", 16 * 36],
      spot: ["16 rows of another task", 16 * 36],
      // Both adapters of a block: (36 · 12 / 12 + 12³) and a bias each way; 7 norms.
      "phm-adapter": ["r d/3, n 12, and norms", 3 * 2 * (2 * (36 + 12 ** 3) + 12 + 36) + 7 * 36],
      "p-tuning-v2": ["8 rows", 3 * 2 * 8 * 10],
    };
    for (const [name, [setting, trainable]] of Object.entries(wanted)) {
      const row = rows.get(name)!;
      assert.ok("facts" in row);
      assert.deepEqual([row.setting, row.facts.trained.trainable], [setting, trainable], name);
    }
    model.dispose();
  }));

Deno.test("graft methods prints the table, and one line for what is wrong", async () => {
  const folder = Deno.makeTempDirSync();
  const config = `${folder}/config.json`;
  const small = JSON.stringify({
    ...BERT_BASE,
    num_hidden_layers: 2,
    hidden_size: 64,
    num_attention_heads: 2,
  });
  Deno.writeTextFileSync(config, small);
  const run = async (...args: readonly string[]) => {
    const program = newProgram("graft", "", "0");
    methods(program);
    const [said, complaints]: [string[], string[]] = [[], []];
    using _ = hearStreams((chunk) => said.push(chunk), (chunk) => complaints.push(chunk));
    const code = await runProgram(program, ["methods", ...args], (e) => void complaints.push(String(e)));
    return { code, said: said.join(""), complaints: complaints.join("") };
  };
  try {
    const narrow = await run("--config", config, "--only", "lora,crossAttention");
    assert.match(narrow.said, /^method +trainable +% +file +backprop +merges\n/);
    assert.match(narrow.said, /\nlora +4,096 +0\.15 /);
    const every = await run("--config", config);
    for (const line of `${narrow.said}${every.said}`.split("\n")) assert.ok([...line].length <= 80, line);
    const plain = await run("--config", config, "--only", "lora,crossAttention", "--wide");
    assert.equal(plain.code, 0);
    assert.match(plain.said, /^method .*MAdds\/token\n/);
    assert.match(plain.said, /\nlora +r 8 on q and v +R +4,096 +0\.15 /);
    assert.match(plain.said, /\ncross-attention .* not on this model\n/);
    assert.match(
      plain.complaints,
      /^cross-attention: Cannot place cross-attention on bert: it has no attention/,
    );
    const article = await run("--config", config, "--only", "ia3", "--article", "--wide");
    assert.match(article.said, /No overhead ≠ Extra gating/);
    assert.match(article.said, /\n {2}ia3: the scales merge into the weights/);
    // Whatever differs is named with its reason.
    for (const model of [BERT_BASE, T5_BASE]) {
      Deno.writeTextFileSync(config, JSON.stringify({ ...model, num_hidden_layers: 2, num_layers: 2 }));
      const all = (await run("--config", config, "--article", "--wide")).said.split("\n");
      const differing = all.filter((line) => /^[a-z][\w-]* .* ≠ /.test(line)).map((line) =>
        line.split(" ")[0]!
      );
      assert.ok(differing.length > 10);
      for (const name of differing) assert.ok(all.some((line) => line.startsWith(`  ${name}: `)), name);
    }
    Deno.writeTextFileSync(config, small);
    const json = await run("--config", config, "--only", "lora", "--json");
    assert.equal(JSON.parse(json.said)[0].facts.trained.trainable, 4096);
    const wrong = await run("--config", config, "--only", "lora,magic");
    assert.equal(wrong.code, 2);
    assert.match(
      wrong.complaints,
      /^UsageError: The method "magic" is not known \(graft methods lists all\)/,
    );
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("graft methods without a model lists every definition once, by family, with its sentence", async () => {
  const run = async (...args: readonly string[]): Promise<string> => {
    const program = newProgram("graft", "", "0");
    methods(program);
    const said: string[] = [];
    using _ = hearStreams((chunk) => said.push(chunk), () => {});
    assert.equal(await runProgram(program, ["methods", ...args], () => {}), 0);
    return said.join("");
  };
  const listed: readonly ListedMethod[] = JSON.parse(await run("--json"));
  assert.deepEqual(listed.map(({ name }) => name).sort(), knownMethods().all.map(({ name }) => name).sort());
  const lora = listed.find(({ name }) => name === "lora");
  assert.deepEqual([lora?.family, lora?.title, lora?.trains], ["low rank", "LoRA", true]);
  const text = await run();
  for (const line of text.split("\n")) assert.ok([...line].length <= 80, line);
  const plain = text.replace(/\s+/g, " ");
  for (const { name, summary } of listed) assert.ok(plain.includes(` ${name} ${summary}`), name);
  assert.match(await run("--only", "LoRA,ia3"), /^Low rank\n {2}lora +Adds [^]*\nRescaling\n {2}ia3 +[^]*$/);
});
