/** Adapters as data: the same bits again, and refusals. */
import assert from "node:assert/strict";
import { adapt, bytesOf, dispose, freshModel, leaves, memory, reference, smallConfig } from "../../mod.ts";
import { adapterData, adapterFromData } from "../../io/adapter_data.ts";
import { compose } from "../../core/mod.ts";
import * as methods from "../../methods/mod.ts";

const backend = reference();
const model = freshModel(smallConfig("llama"), { backend, key: 0 });

Deno.test("adapters of layers, prompts, masks and combinations come back to the bit", async () => {
  for (
    const method of [
      methods.lora({ rank: 2 }),
      methods.promptTuning({ length: 3 }),
      methods.houlsby({ reduction: 4 }),
      methods.bitfit(),
      compose({ one: methods.ia3(), two: methods.vera({ rank: 4 }) }),
    ]
  ) {
    const before = memory(backend).live;
    const adapter = adapt(model, method, 4);
    const again = await adapterFromData(structuredClone(await adapterData(adapter, model)), model, {
      name: "again",
    });
    assert.deepEqual([again.name, again.method.name], ["again", method.name]);
    const [own, others] = [leaves(adapter.params), leaves(again.params)];
    assert.deepEqual(others.map(([path]) => path), own.map(([path]) => path));
    for (const [i, [path, leaf]] of own.entries()) {
      assert.deepEqual(await bytesOf(others[i]![1]), await bytesOf(leaf), path);
    }
    dispose([adapter.params, again.params]);
    assert.equal(memory(backend).live, before, method.name);
  }
});

Deno.test("data of another model, or with a parameter too few, is refused and leaves nothing", async () => {
  const wide = freshModel(smallConfig("llama", { width: 32 }), { backend, key: 0 });
  const adapter = adapt(model, methods.lora({ rank: 2 }), 4);
  const data = await adapterData(adapter, model);
  const before = memory(backend).live;
  await assert.rejects(adapterFromData(data, wide), { code: "ADAPTER_MISMATCH" });
  const [first, ...rest] = Object.entries(data.params);
  await assert.rejects(
    adapterFromData({ ...data, params: Object.fromEntries(rest) }, model),
    (error: Error) => {
      assert.ok(error.message.includes(`"${first![0]}" is missing`), error.message);
      return true;
    },
  );
  assert.equal(memory(backend).live, before);
});
