/** Commands on the native backend, named or by "auto": what they compute on wasm, and how to get a library that is not there. */
import assert from "node:assert/strict";
import { openTrainingState } from "../../io/training_state.ts";
import { isNativeBuilt } from "../../ops/native/mod.ts";
import record from "../../ops/wasm/lib/SOURCE_HASH.json" with { type: "json" };
import { assertClose } from "../support/assert.ts";
import { graft, numbersOf, temporaryFolder, tinyData, tinyModel } from "./tiny.ts";

Deno.test({
  name: "commands compute on --backend native what they compute on wasm",
  ignore: !isNativeBuilt(),
  fn: async () => {
    using folder = temporaryFolder();
    const { path } = folder;
    const [model, data] = [tinyModel(path), tinyData(path)];
    const made: ReadonlyMap<string, Float32Array>[] = [];
    const texts: string[] = [];
    for (const backend of ["wasm", "native"]) {
      const on = ["-m", model, "--backend", backend, "--threads", "2"];
      const output = `${path}/${backend}`;
      const run = async (args: readonly string[]): Promise<string> => {
        const { code, out, err } = await graft(args);
        assert.equal(code, 0, err);
        return out;
      };
      await run(["finetune", ...on, "-d", data, "-o", output, "--max-steps", "3", "--rank", "2"]);
      made.push(numbersOf(`${output}/adapter_model.safetensors`));
      const tuned = [...on, "--adapter", `${path}/wasm`];
      texts.push(await run(["generate", ...tuned, "--prompt", "cat and dog:", "--max-new-tokens", "6"]));
    }
    assert.equal(texts[1], texts[0]);
    // AdamW divides by the root of g²: where a gradient is all rounding, its first steps are, too.
    for (const [name, numbers] of made[0]!) assertClose(made[1]!.get(name)!, numbers, 1e-3, name);
  },
});

Deno.test({
  name: "--backend native without a library says how to build it",
  ignore: isNativeBuilt(),
  fn: async () => {
    using folder = temporaryFolder();
    const { code, err } = await graft([
      "generate",
      ...["-m", tinyModel(folder.path), "--backend", "native", "--prompt", "cat"],
    ]);
    assert.equal(code, 2);
    assert.match(err, /build them for this machine with 'deno task native' \(it needs Rust\)/);
  },
});

const BUILT: "native" | "wasm" = isNativeBuilt() ? "native" : "wasm";

/** Held-out losses of a run's log. */
const lossesOf = (folder: string): readonly number[] =>
  Deno.readTextFileSync(`${folder}/metrics.jsonl`).trimEnd().split("\n")
    .flatMap((line) => JSON.parse(line).evalLoss ?? []);

Deno.test("graft finetune computes where it fits, says so, and learns what wasm learns within 0.02", async () => {
  using folder = temporaryFolder();
  const { path } = folder;
  const args = ["finetune", "-m", tinyModel(path), "-d", tinyData(path), "--max-steps", "12", "--rank", "2"];
  const more = [
    "--threads",
    "2",
    "--held-out",
    "4",
    "--eval-every",
    "3",
    "--learning-rate",
    "0.05",
    "--epochs",
    "12",
  ];
  const run = (output: string, ...backend: string[]) =>
    graft([...args, ...more, "-o", `${path}/${output}`, ...backend], undefined, undefined, {
      GRAFT_BACKEND: "",
    });
  const chosen = await run("chosen");
  assert.equal(chosen.code, 0, chosen.err);
  assert.match(chosen.err, new RegExp(`^Computing on ${BUILT}[:,] .*$`, "m"));
  const named = await run("named", "--backend", "wasm");
  assert.equal(named.code, 0, named.err);
  assert.doesNotMatch(named.err, /Computing on/);
  const [own, wasm] = [lossesOf(`${path}/chosen`), lossesOf(`${path}/named`)];
  assert.ok(own.length >= 4);
  assert.ok(wasm.at(-1)! < wasm[0]! - 0.1, "it learns nothing, so that losses say nothing");
  for (const [i, loss] of own.entries()) {
    assert.ok(Math.abs(loss - wasm[i]!) < 0.02, `${loss} beside ${wasm[i]}`);
  }
});

Deno.test("a run goes on where it began, and never changes its kernels in silence", async () => {
  using folder = temporaryFolder();
  const { path } = folder;
  const output = `${path}/run`;
  const args = [
    "finetune",
    "-m",
    tinyModel(path),
    "-d",
    tinyData(path),
    "-o",
    output,
    "--save-every",
    "2",
    "--keep-checkpoint",
  ];
  const run = (env: string, ...more: string[]) =>
    graft([...args, "--max-steps", "6", ...more], undefined, undefined, { GRAFT_BACKEND: env });
  const checkpoint = `${output}/checkpoint/state.safetensors`;
  const begun = await run("wasm");
  assert.equal(begun.code, 0, begun.err);
  assert.match(begun.err, /^Computing on wasm: GRAFT_BACKEND says so$/m);
  {
    using state = openTrainingState(checkpoint);
    assert.equal((state.record["options"] as Record<string, unknown>)["backend"], "wasm");
    assert.equal(state.record["kernels"], record.sources.slice(0, 8));
  }
  for (const name of ["adapter_config.json", "adapter_model.safetensors"]) {
    Deno.removeSync(`${output}/${name}`);
  }
  const resumed = await run("reference", "--resume");
  assert.equal(resumed.code, 0, resumed.err);
  assert.match(resumed.err, /^Computing on wasm: the run began there$/m);
  const other = await run("", "--resume", "--backend", "reference");
  assert.equal(other.code, 1);
  assert.match(other.err, /--backend was "wasm" and is "reference" now/);
  // Kernels of another build.
  const bytes = Deno.readFileSync(checkpoint);
  const at = new TextDecoder("latin1").decode(bytes).indexOf(record.sources.slice(0, 8));
  assert.ok(at > 0);
  bytes.set(new TextEncoder().encode("00000000"), at);
  Deno.writeFileSync(checkpoint, bytes);
  const refused = await run("", "--resume");
  assert.equal(refused.code, 1);
  assert.match(refused.err, /began on the kernels of build 00000000, and those here are of build/);
});

Deno.test("a GRAFT_BACKEND that is none is an error of usage", async () => {
  using folder = temporaryFolder();
  const args = ["generate", "-m", tinyModel(folder.path), "--prompt", "cat"];
  const { code, err } = await graft(args, undefined, undefined, { GRAFT_BACKEND: "fast" });
  assert.equal(code, 2);
  assert.match(err, /Expected GRAFT_BACKEND to be auto, wasm, native, reference or gpu but found "fast"/);
});
