/** Generation that a signal ends: between two tokens, with everything freed, and not at all where it was aborted before. */
import assert from "node:assert/strict";
import { generate, generateIds, heed, memory, type Model } from "../../../core/mod.ts";
import { loadModel } from "../../../io/load_model.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { GOLDEN } from "../../support/golden.ts";

const backend = reference();
const model = await loadModel(`${GOLDEN}llama_lora/base`, { backend });
const OPTIONS = { maxNewTokens: 12, eos: [] } as const;

Deno.test("heed() takes no turn without a signal, and lets timers run with one", async () => {
  let ran = false;
  setTimeout(() => ran = true, 0);
  await heed(undefined);
  assert.ok(!ran);
  await heed(new AbortController().signal);
  assert.ok(ran);
});

Deno.test("generation ends at the token after the abort, rejects with the reason, and frees its caches", async () => {
  for (const reason of [undefined, new RangeError("enough"), "a text"]) {
    const live = memory(backend).live;
    const controller = new AbortController();
    const seen: number[] = [];
    const work = generateIds(model, [[1, 2, 3], [4]], {
      ...OPTIONS,
      signal: controller.signal,
      onToken: ({ id }) => {
        seen.push(id);
        if (seen.length === 4) controller.abort(reason);
      },
    });
    const thrown = await work.then(() => assert.fail("it went on"), (error) => error);
    assert.equal(thrown, controller.signal.reason);
    assert.equal(seen.length, 4); // two tokens of two rows
    assert.equal(memory(backend).live, live);
  }
});

Deno.test("an abort by a timer is heeded, though the backend computes without a pause", async () => {
  const live = memory(backend).live;
  const work = generateIds(model, [1, 2], { maxNewTokens: 1e6, eos: [], signal: AbortSignal.timeout(5) });
  // The context would end it first if nothing was heeded, and the promise would not reject.
  await assert.rejects(work, { name: "TimeoutError" });
  assert.equal(memory(backend).live, live);
});

Deno.test("a signal that is not aborted changes nothing", async () => {
  const { signal } = new AbortController();
  assert.deepEqual(
    await generateIds(model, [1, 2, 3], { ...OPTIONS, signal }),
    await generateIds(model, [1, 2, 3], OPTIONS),
  );
});

Deno.test("a signal that was aborted before starts nothing: no option is looked at, no text encoded", async () => {
  const before = memory(backend);
  let asked = 0;
  const untouched: Model = new Proxy(model, { get: (of, name) => (asked++, Reflect.get(of, name)) });
  const signal = AbortSignal.abort();
  await assert.rejects(generate(untouched, "a", { maxNewTokens: -1, signal }), { name: "AbortError" });
  await assert.rejects(generateIds(untouched, [], { maxNewTokens: -1, signal }), { name: "AbortError" });
  assert.equal(asked, 0);
  assert.deepEqual(memory(backend), before);
});
