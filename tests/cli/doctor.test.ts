/** `graft doctor` on a tiny model. */
import assert from "node:assert/strict";
import { main } from "../../cli/main.ts";
import { hearStreams } from "../support/standard_streams.ts";
import { temporaryFolder, tinyModel } from "./tiny.ts";

const doctor = async (...more: readonly string[]): Promise<string> => {
  let printed = "";
  using _ = hearStreams((piece) => printed += piece, () => {});
  assert.equal(await main(["doctor", "--threads", "1", ...more]), 0);
  return printed;
};

Deno.test("graft doctor tells backends, memory, time and disk by method", async () => {
  using folder = temporaryFolder();
  const model = tinyModel(folder.path);
  const data = `${folder.path}/data.jsonl`;
  Deno.writeTextFileSync(
    data,
    Array.from({ length: 20 }, () => '{"prompt":"abc","completion":"de"}').join("\n"),
  );
  const { machine, backends, runs } = JSON.parse(await doctor("-m", model, "-d", data, "--json"));
  assert.ok(machine.cores >= 1 && machine.memory.free > 0);
  assert.deepEqual(backends.map(({ name }: { readonly name: string }) => name), ["wasm", "native", "gpu"]);
  const [wasm] = backends;
  assert.ok(wasm.productOperations > 1e7 && wasm.threads === 1);
  assert.ok(wasm.kernelsTried.every(({ good }: { readonly good: boolean }) => good));
  assert.deepEqual(runs.map(({ method }: { readonly method: string }) => method), [
    ...["full-fine-tune", "lora", "qlora", "ia3"],
  ]);
  for (const { fits, disk, memory, time } of runs) {
    assert.ok(fits && disk > 0 && memory > 0 && time.epoch > 0);
    assert.equal(time.stepsPerEpoch, 3); // 18 rows, 8 per step
  }
  const text = await doctor("-m", model);
  assert.match(text, /^wasm +1 +[0-9.]+ +[0-9.]+ +[0-9.]+ +(\d+) of \1$/m);
  assert.match(text, /^lora .* yes /m);
  assert.ok(text.split("\n").every((line) => line.length <= 100), text);
});
