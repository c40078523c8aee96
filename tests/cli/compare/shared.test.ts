/** Comparisons that keep their results in a folder, and share it. */
import assert from "node:assert/strict";
import { pointName } from "../../../cli/compare/shared.ts";
import { graft, graftArguments, type Ran, temporaryFolder, tinyData, tinyModel } from "../tiny.ts";

const SHORT = [
  ...["--held-out", "4", "--steps", "4", "--batch-size", "2", "--rouge", "2", "--max-new-tokens", "3"],
  ...["--rank", "2", "--threads", "1", "--methods", "lora,ia3,vera,bitfit"],
];

/** What does not depend on time. */
const lasting = (text: string): readonly object[] =>
  JSON.parse(text).methods.map(({ seconds: _, tokensPerSecond: __, ...method }: Record<string, unknown>) =>
    method
  );

const trained = (err: string): readonly string[] =>
  [...err.matchAll(/^(LoRA|\(IA\)³|VeRA|BitFit):$/gm)].map(([, title]) => title!);

Deno.test("two processes, one killed in a method, end with a single process's results; the table is printed once", async () => {
  using folder = temporaryFolder();
  const [model, data] = [tinyModel(folder.path), tinyData(folder.path, 20)];
  const args = ["compare", "-m", model, "-d", data, ...SHORT];
  const output = ["-o", `${folder.path}/out`];
  const env = { GRAFT_BACKEND: "wasm", NO_COLOR: "1" };
  const single = graft([...args, "--json"], undefined, undefined, env);

  // The method's own process ends by itself, when nobody is left to read its result.
  const killed = new Deno.Command(Deno.execPath(), {
    args: graftArguments([...args, ...output, "--shard", "2/2"]),
    ...{ env, stdin: "null", stdout: "null", stderr: "piped" },
  }).spawn();
  const reader = killed.stderr.getReader();
  for (let said = ""; !/^\(IA\)³:$/m.test(said);) {
    said += new TextDecoder().decode((await reader.read()).value);
  }
  killed.kill("SIGKILL");
  await reader.cancel();
  await killed.status;
  const first = await graft([...args, ...output, "--shard", "1/2"], undefined, undefined, env);
  assert.equal(first.code, 0, first.err);
  assert.match(first.err, /^This is shard 1 of 2, by --shard: it begins with LoRA, VeRA$/m);
  assert.deepEqual(trained(first.err), ["LoRA", "VeRA", "(IA)³", "BitFit"]);
  assert.match(first.err, /This was shard 1 of 2: it ran 1_lora, 3_vera, 2_ia3, 4_bitfit\./);
  assert.match(first.out, /^LoRA +/m);

  const again = await graft([...args, ...output, "--shard", "2/2"], undefined, undefined, env);
  assert.deepEqual([again.code, trained(again.err), again.out], [0, [], ""]);
  const table = await graft([...args, ...output, "--table"], undefined, undefined, env);
  assert.deepEqual([table.code, table.out], [0, first.out]);
  const json = await graft([...args, ...output, "--json", "--table"], undefined, undefined, env);
  assert.deepEqual(lasting(json.out), lasting((await single).out));
});

Deno.test("a comparison in a folder goes on; other options are refused, missing and failed methods named", async () => {
  using folder = temporaryFolder();
  const [model, data] = [tinyModel(folder.path), tinyData(folder.path, 20)];
  const line = (...more: readonly string[]): Promise<Ran> =>
    graft(["compare", "-m", model, "-d", data, ...SHORT, "-o", `${folder.path}/out`, ...more]);
  const none = await line("--table");
  assert.deepEqual([none.code, none.out], [1, ""]);
  assert.match(none.err, /Not finished in .*out: LoRA, \(IA\)³, VeRA, BitFit/);
  const half = await line("--shard", "2/2");
  assert.equal(half.code, 0, half.err);
  const part = await line("--table");
  assert.equal(part.code, 1);
  assert.match(part.err, /Not finished in .*: LoRA, VeRA/);
  assert.match(part.err, /Shard 1 of 2 was never seen in/);
  assert.match(
    (await line("--shard", "1/2", "--steps", "5")).err,
    /Cannot share .*out: --steps is 4 there and 5 here/,
  );
  assert.match((await line("--rates", "lora=0.5")).err, /Cannot share .*out: --rates is not given there/);
  const whole = await line();
  assert.equal(whole.code, 0, whole.err);
  assert.deepEqual(trained(whole.err), ["LoRA", "VeRA"]);
  assert.equal((await line("--table")).out, whole.out);

  const occupied = await graft(["compare", "-m", model, "-d", data, ...SHORT, "-o", folder.path]);
  assert.match(occupied.err, /Cannot write to .*: it holds something else than a comparison/);
  const nowhere = await graft(["compare", "-m", model, "-d", data, ...SHORT, "--shard", "1/2"]);
  assert.deepEqual([nowhere.code, /Expected --output/.test(nowhere.err)], [2, true]);
});

Deno.test("a method's file has its place and name", () => {
  assert.deepEqual(["lora", "./mine.ts#gain", "a".repeat(200)].map((name, i) => pointName(i, name)), [
    "1_lora",
    "2_._mine.ts_gain",
    `3_${"a".repeat(80)}`,
  ]);
});
