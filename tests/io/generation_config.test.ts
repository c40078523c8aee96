/** The sampler that a model's folder advises. */
import assert from "node:assert/strict";
import { advisedSampler } from "../../io/generation_config.ts";
import { temporaryFolder } from "../cli/tiny.ts";

Deno.test("advisedSampler() is what generation_config.json says, and greedy without do_sample", () => {
  using folder = temporaryFolder();
  const advised = (config: object) => {
    Deno.writeTextFileSync(`${folder.path}/generation_config.json`, JSON.stringify(config));
    return advisedSampler(folder.path);
  };
  assert.equal(advisedSampler(folder.path), undefined);
  assert.deepEqual(advised({ do_sample: true, temperature: 0.7, top_p: 0.8, top_k: 20 }), {
    temperature: 0.7,
    topP: 0.8,
    topK: 20,
  });
  assert.deepEqual(advised({ do_sample: true, top_p: 1, top_k: 0 }), {});
  assert.equal(advised({ temperature: 0.7 }), undefined);
  assert.equal(advised({ do_sample: true, temperature: 0 }), undefined);
  assert.throws(
    () => advised({ do_sample: true, top_k: "20" }),
    /Expected "top_k" in .* to be a number from 0/,
  );
});

Deno.test("advisedSampler() finds no advice in a file", () => {
  using folder = temporaryFolder();
  Deno.writeTextFileSync(`${folder.path}/model.gguf`, "");
  assert.equal(advisedSampler(`${folder.path}/model.gguf`), undefined);
});
