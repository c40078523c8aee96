/** Commands with `--backend native`: what they compute on wasm, and how to get a library that is not there. */
import assert from "node:assert/strict";
import { isNativeBuilt } from "../../ops/native/mod.ts";
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
