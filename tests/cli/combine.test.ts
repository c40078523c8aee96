/** `graft combine`: what it writes computes the weighted sum of the adapters; what it refuses, before anything is written. */
import assert from "node:assert/strict";
import { forward, graft as grafted, keep, read, scaled } from "../../core/mod.ts";
import { loadAdapter } from "../../io/load_adapter.ts";
import { loadModel } from "../../io/load_model.ts";
import peftBatch from "../oracles/golden/peft_folders/batch.json" with { type: "json" };
import { assertClose } from "../support/assert.ts";
import { withBackend } from "../support/backends.ts";
import { GOLDEN } from "../support/golden.ts";
import { graft, temporaryFolder } from "./tiny.ts";

const BASE = `${GOLDEN}llama_lora/base`;
const [ONE, TWO] = [`${GOLDEN}peft_folders/random`, `${GOLDEN}llama_lora/lora`];

/** Logits of the base with adapters, each as often as its factor says. */
async function logits(parts: readonly (readonly [path: string, factor: number])[]): Promise<Float32Array> {
  let numbers = new Float32Array();
  await withBackend("reference", async (backend) => {
    let model = await loadModel(BASE, { backend });
    for (const [path, factor] of parts) {
      const { method, params } = await loadAdapter(path, model);
      keep(params);
      model = grafted(model, { method: scaled(method, factor), params });
    }
    numbers = await read(forward(model, peftBatch).logits) as Float32Array<ArrayBuffer>;
  });
  return numbers;
}

Deno.test("graft combine writes the weighted sum of two adapters", async () => {
  using folder = temporaryFolder();
  const expected = await logits([[ONE, 0.5], [TWO, -2]]);
  const cases = { cat: [], linear: [], svd: ["--error", "0"], magnitudePrune: ["--density", "1"] };
  for (const [method, more] of Object.entries(cases)) {
    const out = `${folder.path}/${method}`;
    const args = [
      "combine",
      ONE,
      TWO,
      "-m",
      BASE,
      "-o",
      out,
      "--weights",
      "0.5,-2",
      "--method",
      method,
      ...more,
    ];
    const ran = await graft(args);
    assert.equal(ran.code, 0, ran.err);
    assert.match(ran.out, new RegExp(`${method}: lora \\+ lora by ${method} as LoRA of rank `));
    assertClose(await logits([[out, 1]]), expected, 1e-4, method);
  }
});

Deno.test("graft combine thins updates out, by a seed", async () => {
  using folder = temporaryFolder();
  const run = (name: string, ...more: readonly string[]) =>
    graft([
      "combine",
      ONE,
      TWO,
      "-m",
      BASE,
      "-o",
      `${folder.path}/${name}`,
      "--density",
      "0.5",
      "--json",
      ...more,
    ]);
  const ties = JSON.parse((await run("ties", "--method", "ties", "--rank", "4")).out);
  assert.deepEqual([ties.method, ties.density, ties.limit, ties.weights], ["ties", 0.5, { rank: 4 }, [1, 1]]);
  assert.ok(ties.error > 0 && ties.error < 1);
  const dare = async (name: string, seed: string) => {
    const ran = await run(name, "--method", "dare", "--then", "ties", "--seed", seed);
    assert.equal(ran.code, 0, ran.err);
    return await Deno.readFile(`${folder.path}/${name}/adapter_model.safetensors`);
  };
  const first = await dare("dare", "1");
  assert.deepEqual(await dare("again", "1"), first);
  assert.notDeepEqual(await dare("other", "2"), first);
});

Deno.test("graft combine says what is wrong, and writes nothing", async () => {
  using folder = temporaryFolder();
  const out = `${folder.path}/out`;
  const fails = async (args: readonly string[], code: number, message: RegExp) => {
    const ran = await graft(["combine", ...args, "-m", BASE, "-o", out]);
    assert.equal(ran.code, code, ran.err);
    assert.match(ran.err, message);
    assert.throws(() => Deno.statSync(out), Deno.errors.NotFound);
  };
  await fails(
    [ONE, TWO, "--weights", "1"],
    2,
    /one weight for each adapter, 2 in all, but found 1 in --weights/,
  );
  await fails([ONE, TWO, "--weights", "1,x"], 2, /--weights to be numbers separated by commas but found "x"/);
  await fails([ONE, "--method", "ties"], 2, /Expected --density with --method ties/);
  await fails([ONE, "--method", "svd"], 2, /Expected --rank or --error with --method svd/);
  await fails([ONE, "--rank", "2"], 2, /Cannot use --rank with --method cat: it has none/);
  await fails(
    [ONE, "--method", "linear", "--density", "0.1"],
    2,
    /Cannot use --density .*: it has --rank, --error/,
  );
  await fails([ONE, "--method", "ties", "--density", "1e-9"], 1, /less than one/);
  await fails([ONE, `${folder.path}/none`], 1, /none/);
});
