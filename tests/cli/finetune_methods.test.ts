/** Every method of `graft finetune`: trains, saves, loads, and computes the same again. In process, on tiny models. */
import assert from "node:assert/strict";
import { generateIds } from "../../core/mod.ts";
import { openData } from "../../cli/data.ts";
import type { RunFlags } from "../../cli/finetune/run_flags.ts";
import { openModel } from "../../cli/load.ts";
import { trainableNames } from "../../tuning/chosen_method.ts";
import { openSafetensors } from "../../formats/safetensors.ts";
import { heldOutLoss } from "../../train/mod.ts";
import { DEFAULTS, finetuned } from "./in_process.ts";
import { temporaryFolder, tinyData, tinyModel } from "./tiny.ts";

/** Flags that a method needs, or that keep it small. */
const FLAGS: Readonly<Record<string, Partial<RunFlags>>> = {
  "trainable-tokens": { options: { tokens: [4, 5] } },
  "context-prompt-tuning": { options: { tokens: [4, 5, 6], types: [1, 2, 4] } },
  "only": { targets: ["norm.weight"] },
  "fish-mask": { options: { ratio: 0.05 } },
  "diff-pruning": { options: { ratio: 0.05, gateRate: 0.01 } },
  "lt-sft": { options: { ratio: 0.05 } },
  // The plan counts the kernel, which the oracle composes of general ops that keep more.
  "intrinsic-said": { dimension: 60, backend: "wasm" },
  "prefix-tuning": { length: 2, options: { network: { hidden: 6 } } },
  "multitask-prompt-tuning": { length: 2 },
  "mam": { length: 2, bottleneck: 3, options: { prefix: { network: { hidden: 6 } } } },
  "unipelt": { length: 2, bottleneck: 3, options: { prefix: { network: { hidden: 6 } } } },
  "loreft": { rank: 2, options: { first: 1, last: 1 } },
  "loftq": { rank: 2, options: { iterations: 2 } },
  "adamix": { bottleneck: 4, options: { experts: 2 } },
  "s4": {
    dimension: 2400,
    options: { groups: [1, 1], parts: [["adapter", "lora"], ["prefix", "bitfit", "lora"]] },
  },
  "sparse-adapter": { bottleneck: 4 },
};

/** Methods made of others take what earlier methods wrote. */
const sourcesIn = (folder: string): Readonly<Record<string, Partial<RunFlags>>> => ({
  "adapter-fusion": { options: { adapters: { one: `${folder}/pfeiffer`, two: `${folder}/pfeiffer` } } },
  "xlora": { options: { experts: { one: `${folder}/lora`, two: `${folder}/rslora` }, size: 8 } },
  "spot": { options: { sources: { one: `${folder}/prompt-tuning` } } },
  "ipt": { options: { sources: { one: `${folder}/prompt-tuning` }, intrinsic: 5, hidden: 6 } },
});

/** Whose folder it becomes, where that is not plain from the name. */
const SAVED_AS: Readonly<Record<string, string>> = {
  "lora": "LORA",
  "lora-plus": "LORA",
  "pissa": "LORA",
  "olora": "LORA",
  "eva": "LORA",
  "loftq": "loftq",
  "adamix": "pfeiffer",
  "p-tuning": "P_TUNING",
  "layer-norm-tune": "LN_TUNING",
  "mam": "compose",
};

Deno.test("graft finetune by every method writes what loads and computes the same", async () => {
  using folder = temporaryFolder();
  const [model, data] = [tinyModel(folder.path), tinyData(folder.path)];
  const wide: string[] = ["adalora", "fish-mask", "xlora", "ipt"];
  const made = sourcesIn(folder.path);
  const names = trainableNames().filter((name) => name !== "cross-attention" && name !== "full-fine-tune");
  for (const method of [...names.filter((name) => !(name in made)), ...Object.keys(made)]) {
    try {
      const output = `${folder.path}/${method}`;
      const flags = { model, data, output, method, learningRate: 0.02, ...FLAGS[method], ...made[method] };
      const { steps, evaluations, peak, planned } = await finetuned(flags);
      assert.equal(steps, 2);
      const [before, after] = [evaluations[0]!.loss, evaluations.at(-1)!.loss];
      assert.notEqual(before, after);
      // AdaLoRA's averages are not planned, and where a mask will lie is not known before there is one.
      const within = wide.includes(method) ? 0.2 : 0.1;
      assert.ok(Math.abs(peak - planned) <= within * peak, `planned ${planned}, measured ${peak}`);
      const config = JSON.parse(Deno.readTextFileSync(`${output}/adapter_config.json`));
      const form = config.peft_type ?? config.graft.method;
      assert.equal(form, SAVED_AS[method] ?? form);
      const trained = openSafetensors(`${output}/adapter_model.safetensors`);
      assert.equal(
        [...trained.tensors.keys()].some((name) => name.includes("network")),
        false,
        "what is settled",
      );
      trained.close();
      const again = await openModel(
        { model, backend: "reference", adapter: output },
        method === "qlora" ? { quantize: { dtype: "nf4_double" } } : {},
      );
      using rows = await openData({ ...DEFAULTS, data }, again.base, again.base.tokenizer, 64);
      const { loss } = await heldOutLoss(again.model, rows.heldOut, { batchSize: 2, pad: 0 });
      // 1e-5: PiSSA and OLoRA are taken back from their base in f32.
      assert.ok(
        Math.abs(loss - after) <= 1e-5 * after,
        `${after} when it trained, ${loss} when it was loaded`,
      );
      const [written] = await generateIds(again.model, [[5, 6, 7]], { maxNewTokens: 3 });
      assert.ok(written!.length > 0);
      again.close();
    } catch (cause) {
      throw new Error(`${method}: ${cause instanceof Error ? cause.message : cause}`, { cause });
    }
  }
});

Deno.test("graft finetune goes on to the same bits where a base, a budget or passes belong to the method", async () => {
  using folder = temporaryFolder();
  const [model, data] = [tinyModel(folder.path), tinyData(folder.path)];
  for (const method of ["pissa", "adalora", "adamix", "lt-sft", "ladder-side-tuning"] as const) {
    const flags = {
      model,
      data,
      method,
      learningRate: 0.02,
      rank: 2,
      maxSteps: 5,
      saveEvery: 1,
      ...FLAGS[method],
    };
    const { rank: _, ...some } = flags;
    const common = method === "adamix" || method === "lt-sft" || method === "ladder-side-tuning"
      ? some
      : flags;
    const [whole, cut] = [`${folder.path}/${method}-whole`, `${folder.path}/${method}-cut`];
    await finetuned({ ...common, output: whole });
    const interrupted = finetuned({ ...common, output: cut }, (said, interrupt) => {
      if (said.startsWith("step 1/5")) interrupt();
    });
    await assert.rejects(interrupted, { name: "Exit" });
    let steps = "";
    const rest = await finetuned({ ...common, output: cut, resume: true }, (said) => void (steps += said));
    assert.equal(rest.steps, 5);
    assert.doesNotMatch(steps, /step 1\/5/, `${method}: nothing is trained twice`);
    const bytes = (path: string): Uint8Array => Deno.readFileSync(`${path}/adapter_model.safetensors`);
    assert.deepEqual(bytes(cut), bytes(whole), method);
  }
});

Deno.test("graft finetune says before any step which options a method has", async () => {
  using folder = temporaryFolder();
  const [model, data] = [tinyModel(folder.path), tinyData(folder.path)];
  const cases: readonly (readonly [Partial<RunFlags>, RegExp])[] = [
    [
      { method: "lora", options: { rnak: 3 } },
      /lora has no option "rnak": did you mean "rank"\? There are targets, .*rank/,
    ],
    [{ method: "oft", options: { blocks: { size: 5 } } }, /oft on "model\.layers\.0.*24 .*5/],
    [{ method: "mam", options: { lora: {} } }, /mam has no option "lora": there are prefix, parallel/],
    [{ method: "eva", options: { dtype: "nf4" } }, /eva has no option "dtype"/],
    [
      { method: "fish-mask", options: { ratio: 2 } },
      /fish-mask's option "ratio" to be a number above 0 and up to 1 but found 2/,
    ],
    [
      { method: "trainable-tokens" },
      /Expected --options '\{"tokens": …\}' with --method trainable-tokens: ids of the rows/,
    ],
    [{ method: "only" }, /Expected --targets with --method only/],
    [{ method: "houlsby", length: 3 }, /Cannot use --length with --method houlsby: it has --bottleneck/],
    [{ method: "cross-attention" }, /Cannot place cross-attention on llama/],
  ];
  for (const [flags, complaint] of cases) {
    const output = `${folder.path}/refused`;
    await assert.rejects(finetuned({ model, data, output, ...flags } as RunFlags), complaint);
    await assert.rejects(Deno.stat(output), Deno.errors.NotFound);
  }
});
