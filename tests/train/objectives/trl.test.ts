/** Losses, metrics and gradients of every objective beside TRL's: tests/oracles/trl_objectives.py made golden/trl_objectives. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { type Adapter, type Batch, dispose, type Model, read, type Tensor } from "../../../core/mod.ts";
import { openSafetensors } from "../../../formats/safetensors.ts";
import { loadAdapter } from "../../../io/load_adapter.ts";
import { loadModel } from "../../../io/load_model.ts";
import { saveAdapter } from "../../../io/save_adapter.ts";
import {
  distill,
  type DistillOptions,
  dpo,
  type DpoOptions,
  type Objective,
  objectiveGradients,
  orpo,
  preferenceRowsFrom,
  reward,
  withReference,
} from "../../../train/mod.ts";
import { assertClose } from "../../support/assert.ts";
import { ALL_BACKENDS, withBackend } from "../../support/backends.ts";
import { inFolder } from "../../support/folder.ts";
import { GOLDEN } from "../../support/golden.ts";

interface Case {
  readonly name: string;
  readonly kind: "dpo" | "orpo" | "reward" | "distill";
  readonly options: Record<string, unknown>;
  readonly loss: number;
  readonly metrics: Readonly<Record<string, number>>;
}

const { pairs, margins, cases }: {
  readonly pairs: readonly (readonly [number[], number[], number[]])[];
  readonly margins: readonly number[];
  readonly cases: readonly Case[];
} = JSON.parse(readFileSync(`${GOLDEN}trl_objectives/cases.json`, "utf8"));

const after = (prompt: readonly number[], answer: readonly number[]) => ({
  inputIds: [...prompt, ...answer],
  labels: [...prompt.map(() => -100), ...answer],
});
const rowsOf = (withMargins: boolean) =>
  preferenceRowsFrom(pairs.map(([prompt, chosen, rejected], i) => ({
    chosen: after(prompt, chosen),
    rejected: after(prompt, rejected),
    ...withMargins && { margin: margins[i]! },
  })));

function objectiveOf({ kind, options }: Case, base: Model): Objective {
  switch (kind) {
    case "dpo":
      return dpo(options as DpoOptions);
    case "orpo":
      return orpo(options as { beta: number });
    case "reward":
      return reward(options as { center?: number });
    case "distill":
      return distill({ ...options, teacher: base } as DistillOptions);
  }
}

/** Gradients under PEFT's names: saved in the place of the parameters. */
async function gradientFile(
  adapter: Adapter,
  gradients: Adapter["params"],
  base: Model,
): Promise<Map<string, Float32Array>> {
  return await inFolder(async (folder) => {
    await saveAdapter(`${folder}/g`, { ...adapter, params: gradients }, base, { format: "peft" });
    return numbersOf(`${folder}/g/adapter_model.safetensors`);
  });
}

function numbersOf(path: string): Map<string, Float32Array> {
  const file = openSafetensors(path);
  const numbers = [...file.tensors].map(([name, tensor]) =>
    [name, new Float32Array(tensor.read().slice().buffer)] as const
  );
  file.close();
  return new Map(numbers);
}

const folders = {
  reward: { base: `${GOLDEN}encoders/bert_score`, adapter: `${GOLDEN}encoders/bert_score/adapter` },
  reward_llama: { base: `${GOLDEN}llama_lora/base`, adapter: `${GOLDEN}trl_objectives/reward_adapter` },
  others: { base: `${GOLDEN}llama_lora/base`, adapter: `${GOLDEN}llama_lora/lora` },
};

const NAMES = [
  "sigmoid",
  "hinge",
  "ipo",
  "robust",
  "smoothed",
  "orpo",
  "reward",
  "reward_llama",
  "reward_margin",
  "forward",
  "reverse",
];
assert.deepEqual(cases.map(({ name }) => name), NAMES);
for (const backendName of ALL_BACKENDS) {
  for (const one of cases) {
    Deno.test(`${one.name} (${one.kind}) has TRL's loss, metrics and gradients on ${backendName}`, () =>
      withBackend(backendName, async (backend) => {
        const { base: folder, adapter: from } = one.name === "reward_llama"
          ? folders.reward_llama
          : one.kind === "reward"
          ? folders.reward
          : folders.others;
        const base = await loadModel(folder, {
          backend,
          ...one.kind === "reward" && { task: { kind: "score" } },
        });
        const adapter = await loadAdapter(from, base);
        const rows = rowsOf(one.name === "reward_margin" || one.name === "reward_llama");
        const objective = objectiveOf(one, base);
        const batch: Batch = rows.batch([0, 1, 2], 0);
        const { value, gradients, metrics = {} } = objectiveGradients(objective)(base, adapter, batch, {
          key: { a: 0, b: 0 },
        });
        const number = async (t: Tensor) => (await read(t))[0]!;
        assertClose([await number(value)], [one.loss], 1e-5, "loss");
        for (const [name, expected] of Object.entries(one.metrics)) {
          assertClose(
            [await number(metrics[name] ?? metrics[`rewards/${name}`] ?? metrics[`rewards/${name}s`]!)],
            [expected],
            1e-4,
            name,
          );
        }
        const expected = numbersOf(`${GOLDEN}trl_objectives/${one.name}.safetensors`);
        const found = await gradientFile(adapter, gradients, base);
        assert.deepEqual([...found.keys()].sort(), [...expected.keys()].sort());
        for (const [name, numbers] of expected) {
          // What a head adds to every score cancels between the two of a pair, but for rounding.
          if (numbers.every((x) => x === 0)) {
            assert.ok(found.get(name)!.every((x) => Math.abs(x) < 1e-7), name);
          } else assertClose(found.get(name)!, numbers, 1e-4, name);
        }
        if (one.kind === "dpo") {
          // The same with the reference's log-probabilities known from before.
          const known = await withReference(rows, base, { batchSize: 2, pad: 0 });
          const again = objectiveGradients(objective)(base, adapter, known.batch([0, 1, 2], 0), {
            key: { a: 0, b: 0 },
          });
          assertClose([await number(again.value)], [one.loss], 1e-5, "loss by known log-probabilities");
          assertClose([await number(again.metrics!["kl"]!)], [one.metrics["kl"]!], 1e-4, "kl");
          dispose([again.value, again.gradients, again.metrics]);
        }
        dispose([value, gradients, metrics, adapter.params]);
        base.dispose();
      }));
  }
}
