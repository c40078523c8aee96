/** Texts that are written together are those that `generate` writes alone, whatever adapters stand beside them. */
import assert from "node:assert/strict";
import {
  type Adapter,
  at,
  compose,
  dispose,
  generate,
  graft,
  layers,
  memory,
  type Method,
  type Model,
  type TextCodec,
} from "../../core/mod.ts";
import {
  bitfit,
  boft,
  compacter,
  dora,
  fullFineTune,
  hra,
  ia3,
  krona,
  ladderSideTuning,
  lokr,
  lora,
  loreft,
  oft,
  parallelAdapter,
  pfeiffer,
  prefixTuning,
  promptTuning,
  unipelt,
  vera,
} from "../../methods/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { Cancelled, type Engine, engine, QueueFull } from "../../serve/engine.ts";
import { mixable, mixed } from "../../serve/mixed.ts";
import type { Job } from "../../serve/text_job.ts";
import { assertClose, assertNoLeak } from "../support/assert.ts";
import { logitsOf } from "../support/law_numbers.ts";
import { trained } from "../support/subject.ts";
import { tinyGpt2, tinyLlama, tinyT5 } from "../support/tiny_models.ts";

/** One token per letter; 10 ends a text. */
const codec: TextCodec = {
  encode: (text) => [...text].map((letter) => letter.charCodeAt(0) - 97),
  decode: (ids) => ids.map((id) => String.fromCharCode(97 + id)).join(""),
  eos: 10,
};

/** Methods whose edits share a pass, and those that need passes of their own. */
const TOGETHER: Readonly<Record<string, Method>> = {
  lora: lora({ rank: 2, initialization: "none", targets: "all-linear" }) as Method,
  loraDropout: lora({ rank: 1, dropout: 0.5, initialization: "none" }) as Method,
  dora: dora({ rank: 2 }) as Method,
  ia3: ia3() as Method,
  bitfitted: compose({
    bias: at(layers(0), bitfit()),
    lora: lora({ rank: 1, initialization: "none" }),
  }) as Method,
  vera: vera({ rank: 3 }) as Method,
  krona: krona({}) as Method,
  lokr: lokr({ rank: 2 }) as Method,
  oft: oft({ blocks: { size: 2 } }) as Method,
  boft: boft({ blocks: { size: 2 } }) as Method,
  hra: hra({ rank: 2 }) as Method,
  pfeiffer: pfeiffer({ reduction: 4 }) as Method,
  parallel: parallelAdapter({ reduction: 4, reads: "residual" }) as Method,
  compacter: compacter({ reduction: 3, dimension: 2, rank: 2, reads: "normed" }) as Method,
  loreft: loreft({ rank: 1 }) as Method,
};
const APART: Readonly<Record<string, Method>> = {
  prompt: promptTuning({ length: 3 }) as Method,
  prefix: prefixTuning({ length: 2, network: "none" }) as Method,
  unipelt: unipelt() as Method,
  full: fullFineTune() as Method,
  side: ladderSideTuning({ reduction: 2 }) as Method,
};

const job = (over: Partial<Job>): Job => ({
  prompt: [1, 2, 3],
  adapter: null,
  maxTokens: 9,
  seed: 0,
  stop: [],
  ...over,
});

/** What `generate` writes for a job. */
function alone(model: Model, adapters: Readonly<Record<string, Adapter>>, asked: Job): Promise<string> {
  const { adapter, prompt, maxTokens, sampler, seed, stop } = asked;
  const tuned = adapter === null ? model : graft(model, adapters[adapter]!);
  return generate(tuned, prompt, { maxNewTokens: maxTokens, key: seed, stop, ...sampler && { sampler } });
}

async function onModel(
  tiny: typeof tinyLlama,
  methods: Readonly<Record<string, Method>>,
  f: (model: Model, adapters: Readonly<Record<string, Adapter>>) => Promise<void>,
): Promise<void> {
  await assertNoLeak(async () => {
    const model: Model = { ...tiny(reference(), 11), tokenizer: codec };
    const { adapters, dispose } = trained(model, methods);
    await f(model, adapters);
    dispose();
    model.dispose();
  });
}

/** Jobs of all adapters with prompts, lengths and samplers of their own, in an order that mixes them. */
function jobsOf(adapters: Readonly<Record<string, Adapter>>): readonly Job[] {
  const names = [null, ...Object.keys(adapters), null, ...Object.keys(adapters)];
  return names.map((adapter, i) =>
    job({
      adapter,
      prompt: Array.from({ length: 1 + i * 5 % 9 }, (_, j) => (i * 7 + j * 3) % 10),
      maxTokens: 3 + i * 4 % 11,
      seed: i,
      stop: i % 3 === 0 ? ["ca", "hh"] : [],
      ...i % 2 === 1 && { sampler: { temperature: 0.7 + i / 40, topP: 0.9 } },
    })
  );
}

/** Submits job after job while earlier ones are written, and gives their texts and chunks. */
async function together(running: Engine, jobs: readonly Job[]) {
  const results = jobs.map(async (asked, i) => {
    for (let turns = 0; turns < i; turns++) await new Promise((resolve) => setTimeout(resolve));
    let chunks = "";
    const written = await running.submit(asked, (chunk) => chunks += chunk).written;
    assert.equal(chunks, written.text);
    return written;
  });
  return await Promise.all(results);
}

for (const [family, tiny] of Object.entries({ llama: tinyLlama, gpt2: tinyGpt2 })) {
  Deno.test(`an engine writes each text as generate alone, under all methods at once, on ${family}`, () =>
    onModel(tiny, { ...TOGETHER, ...APART }, async (model, adapters) => {
      const jobs = jobsOf(adapters);
      const running = engine(model, { adapters, rows: 12, queue: 100 });
      const written = await together(running, jobs);
      for (const [i, asked] of jobs.entries()) {
        const text = await alone(model, adapters, asked);
        assert.equal(written[i]!.text, text, `job ${i}, ${asked.adapter}`);
        assert.ok(written[i]!.tokens <= asked.maxTokens);
        if (written[i]!.reason === "length") assert.equal(written[i]!.tokens, asked.maxTokens);
      }
      assert.ok(written.some(({ reason }) => reason === "stop"), "some text stops");
      assert.deepEqual(running.load, { waiting: 0, writing: 0 });
      await running.close();
    }));
}

Deno.test("a mixed pass gives each row the scores that it has alone", async () => {
  for (const tiny of [tinyLlama, tinyGpt2]) {
    await onModel(tiny, TOGETHER, async (model, adapters) => {
      const named = Object.keys(adapters).filter((name) => name !== "bitfitted");
      // The bare base stands in front, between and behind.
      const names = [null, ...named.slice(0, 3), null, ...named.slice(3), named[0]!, null];
      const inputIds = names.map((_, i) => [0, 1, 2, 3].map((j) => (i * 3 + j * 7) % 11));
      const { model: together, tensors } = mixed(
        model,
        named.map((name) => {
          const { method, params } = adapters[name]!;
          return {
            edits: mixable(method.edits(params, model.spec), model.spec)!,
            rows: names.flatMap((other, i) => other === name ? [i] : []),
          };
        }),
        names.length,
      );
      const found = await logitsOf(together, { inputIds });
      dispose(tensors);
      const width = found.length / names.length;
      for (const [i, name] of names.entries()) {
        const own = name === null ? model : graft(model, adapters[name]!);
        const expected = await logitsOf(own, { inputIds: [inputIds[i]!] });
        assertClose(found.subarray(i * width, (i + 1) * width), expected, 1e-5, `row ${i}, ${name}`);
      }
    });
  }
});

Deno.test("an engine writes with T5, whose texts take steps apart", () =>
  onModel(tinyT5, { lora: TOGETHER["lora"]!, pfeiffer: TOGETHER["pfeiffer"]! }, async (model, adapters) => {
    const jobs = jobsOf(adapters);
    const running = engine(model, { adapters, rows: 4, queue: 100 });
    const written = await together(running, jobs);
    for (const [i, asked] of jobs.entries()) {
      assert.equal(written[i]!.text, await alone(model, adapters, asked), `job ${i}, ${asked.adapter}`);
    }
    await running.close();
  }));

Deno.test("methods share a pass where their edits look at rows one by one", () =>
  onModel(tinyLlama, { ...TOGETHER, ...APART }, (model, adapters) => {
    for (const [name, { method, params }] of Object.entries(adapters)) {
      const shares = mixable(method.edits(params, model.spec), model.spec) !== undefined;
      assert.equal(shares, name in TOGETHER && name !== "bitfitted", name);
    }
    return Promise.resolve();
  }));

Deno.test("a row fills its context beside a longer one, and long rows leave no hidden positions behind", () =>
  onModel(tinyLlama, {}, async (model) => {
    const jobs = [
      job({ prompt: Array.from({ length: 30 }, (_, i) => i % 10), maxTokens: 3 }),
      job({ prompt: [4], maxTokens: 32 }),
      job({ prompt: [5, 6], maxTokens: 31 }),
    ];
    const endless: Model = { ...model, tokenizer: { ...codec, eos: undefined } };
    const running = engine(endless, { adapters: {}, rows: 3, queue: 0 });
    const written = await together(running, jobs);
    for (const [i, asked] of jobs.entries()) {
      assert.equal(written[i]!.tokens, asked.maxTokens);
      assert.equal(written[i]!.text, await alone(endless, {}, asked), `job ${i}`);
    }
    await running.close();
  }));

Deno.test("an engine refuses what its queue cannot hold, and forgets what is cancelled", () =>
  onModel(tinyLlama, { lora: TOGETHER["lora"]! }, async (model, adapters) => {
    const running = engine(model, { adapters, rows: 1, queue: 1 });
    const long = job({ maxTokens: 25, sampler: { temperature: 2 } });
    const [first, second] = [running.submit(long), running.submit(job({}))];
    assert.throws(() => running.submit(long), QueueFull);
    assert.throws(() => running.submit(job({ adapter: "none" })), /no adapter "none"/);
    assert.throws(() => running.submit(job({ sampler: { temperature: -1 } })), RangeError);
    second.cancel();
    await assert.rejects(second.written, Cancelled);
    const third = running.submit(job({ adapter: "lora" }));
    await new Promise((resolve) => setTimeout(resolve, 5));
    first.cancel();
    await assert.rejects(first.written, Cancelled);
    assert.equal((await third.written).text, await alone(model, adapters, job({ adapter: "lora" })));
    const left = running.submit(long);
    const closed = running.close();
    await assert.rejects(left.written, Cancelled);
    await closed;
  }));

Deno.test("a job's signal cancels it with its reason, whether it waits or is written, and frees its place", () =>
  assertNoLeak(() =>
    onModel(tinyLlama, {}, async (model, adapters) => {
      const running = engine(model, { adapters, rows: 1, queue: 1 });
      const controllers = [new AbortController(), new AbortController()];
      const long = job({ maxTokens: 25, sampler: { temperature: 2 } });
      const [written, waiting] = controllers.map(({ signal }) => running.submit({ ...long, signal }).written);
      controllers[1]!.abort(new Error("no longer"));
      await assert.rejects(waiting!, { message: "no longer" });
      const third = running.submit(job({})); // in the place of the second
      await new Promise((resolve) => setTimeout(resolve, 5));
      controllers[0]!.abort();
      await assert.rejects(written!, { name: "AbortError" });
      assert.equal((await third.written).text, await alone(model, adapters, job({})));
      const { load } = running;
      assert.throws(() => running.submit({ ...long, signal: AbortSignal.abort() }), { name: "AbortError" });
      assert.deepEqual(running.load, load);
      await running.close();
    })
  ));

Deno.test("changing adapters copies no weight of the base", () =>
  onModel(tinyLlama, TOGETHER, async (model, adapters) => {
    const running = engine(model, { adapters, rows: 4, queue: 9 });
    const before = memory(model.backend).live;
    for (const adapter of [null, "lora", "vera", "lora"]) await running.submit(job({ adapter })).written;
    await running.close();
    assert.equal(memory(model.backend).live, before);
  }));

Deno.test("a job that comes just when the last one ended is written", () =>
  assertNoLeak(async () => {
    const model = { ...tinyLlama(reference(), 0), tokenizer: codec };
    const job: Job = { prompt: [1, 2], adapter: null, maxTokens: 2, seed: 0, stop: [] };
    // Whatever number of turns of the microtask queue lies between the end and the next job.
    for (let turns = 0; turns < 16; turns++) {
      const writer = engine(model, { adapters: {}, rows: 1, queue: 1 });
      let next = writer.submit(job).written;
      for (let i = 0; i < turns; i++) next = next.then((written) => written);
      const again = next.then(() => writer.submit(job).written);
      const { promise: late, resolve } = Promise.withResolvers<"late">();
      const timer = setTimeout(() => resolve("late"), 5000);
      assert.notEqual(await Promise.race([again, late]), "late", `${turns} turns`);
      clearTimeout(timer);
      await writer.close();
    }
    model.dispose();
  }));
