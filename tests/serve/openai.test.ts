/** The `openai` package from npm as the client: chats, completions, streams, lists, errors. */
import assert from "node:assert/strict";
import OpenAI, { type APIError, BadRequestError, NotFoundError, RateLimitError } from "openai";
import { served } from "./served.ts";

const clientOf = (url: string): OpenAI => new OpenAI({ baseURL: url, apiKey: "any", maxRetries: 0 });
const MESSAGES = [{ role: "user" as const, content: "cat and dog:" }];

Deno.test("openai's client gets the chats that generate writes, whole and streamed", () =>
  served(async ({ url, model, alone }) => {
    const client = clientOf(url);
    const ids = model.tokenizer.encode(model.tokenizer.chat(MESSAGES, { addGenerationPrompt: true }), {
      addSpecialTokens: false,
    });
    for (const [name, adapter] of [["tiny", null], ["base:low", "low"], ["soft", "soft"]] as const) {
      const text = await alone(adapter, ids, 12);
      const asked = { model: name, messages: MESSAGES, max_tokens: 12, temperature: 0 };
      const whole = await client.chat.completions.create(asked);
      const [choice] = whole.choices;
      assert.deepEqual(choice!.message, { role: "assistant", content: text, refusal: null }, name);
      assert.equal(whole.object, "chat.completion");
      assert.equal(whole.model, name);
      assert.match(whole.id, /^chatcmpl-/);
      const written = whole.usage!.completion_tokens;
      assert.equal(choice!.finish_reason, written === 12 ? "length" : "stop");
      assert.deepEqual(whole.usage, {
        prompt_tokens: ids.length,
        completion_tokens: written,
        total_tokens: ids.length + written,
      });

      const stream = await client.chat.completions.create({
        ...asked,
        stream: true,
        stream_options: { include_usage: true },
      });
      let [joined, role, reason] = ["", "", ""];
      let usage: unknown;
      for await (const chunk of stream) {
        assert.equal(chunk.object, "chat.completion.chunk");
        const [part] = chunk.choices;
        joined += part?.delta.content ?? "";
        role ||= part?.delta.role ?? "";
        reason ||= part?.finish_reason ?? "";
        assert.notEqual(chunk.usage, undefined, "null in all chunks but the last");
        usage ??= chunk.usage;
      }
      assert.deepEqual(
        [joined, role, reason, usage],
        [text, "assistant", choice!.finish_reason, whole.usage],
        name,
      );
    }
  }));

Deno.test("openai's client continues several prompts, texts or ids, under one adapter", () =>
  served(async ({ url, model, alone }) => {
    const prompts = ["tea", "the sun and"];
    const expected = await Promise.all(prompts.map((text) => alone("low", model.tokenizer.encode(text), 16)));
    const client = clientOf(url);
    const asked = { model: "low", temperature: 0 };
    const whole = await client.completions.create({ ...asked, prompt: prompts });
    assert.deepEqual(whole.choices.map(({ text, index }) => [index, text]), [...expected.entries()]);
    assert.equal(whole.object, "text_completion");
    const byIds = await client.completions.create({ ...asked, prompt: model.tokenizer.encode(prompts[1]!) });
    assert.equal(byIds.choices[0]!.text, expected[1]);
    const texts = ["", ""];
    for await (
      const { choices } of await client.completions.create({ ...asked, prompt: prompts, stream: true })
    ) {
      for (const { index, text } of choices) texts[index] += text;
    }
    assert.deepEqual(texts, expected);
  }));

Deno.test("requests of several clients and adapters at once get what each gets alone", () =>
  served(async ({ url, model, alone }) => {
    const client = clientOf(url);
    const jobs = ["base", "low", "soft", "low", "base", "soft", "low", "base"].map((name, i) => ({
      name,
      prompt: "sun sea map tea cat dog".slice(i, i + 4 + 2 * i),
    }));
    const found = await Promise.all(jobs.map(async ({ name, prompt }) => {
      const answer = await client.completions.create({ model: name, prompt, temperature: 0, max_tokens: 14 });
      return answer.choices[0]!.text;
    }));
    for (const [i, { name, prompt }] of jobs.entries()) {
      const adapter = name === "base" ? null : name;
      assert.equal(found[i], await alone(adapter, model.tokenizer.encode(prompt), 14), `${name}: ${prompt}`);
    }
  }));

Deno.test("a seed and a temperature give the same text again, another seed another", () =>
  served(async ({ url }) => {
    const client = clientOf(url);
    const text = async (seed: number, top_p = 1): Promise<string> => {
      const asked = { model: "base", prompt: "map", seed, temperature: 1.5, top_p, max_tokens: 20 };
      return (await client.completions.create(asked)).choices[0]!.text;
    };
    const [first, again, other] = await Promise.all([text(1), text(1), text(2)]);
    assert.equal(first, again);
    assert.notEqual(first, other);
    assert.equal(await text(7, 0), await text(8, 0), "top_p 0 leaves the best token");
  }));

Deno.test("n texts of a prompt are those of n seeds, whole and streamed", () =>
  served(async ({ url, model }) => {
    const client = clientOf(url);
    const asked = { model: "low", messages: MESSAGES, seed: 5, temperature: 1.5, max_tokens: 12 };
    const ids = model.tokenizer.encode(model.tokenizer.chat(MESSAGES, { addGenerationPrompt: true }), {
      addSpecialTokens: false,
    });
    const { choices, usage } = await client.chat.completions.create({ ...asked, n: 3 });
    const single: string[] = [];
    for (const seed of [5, 6, 7]) {
      const one = await client.chat.completions.create({ ...asked, seed });
      single.push(one.choices[0]!.message.content!);
    }
    assert.deepEqual(choices.map(({ index, message }) => [index, message.content]), [...single.entries()]);
    assert.ok(new Set(single).size > 1);
    assert.equal(usage!.prompt_tokens, ids.length);
    const texts = ["", "", ""];
    for await (const { choices } of await client.chat.completions.create({ ...asked, n: 3, stream: true })) {
      for (const { index, delta } of choices) texts[index] += delta.content ?? "";
    }
    assert.deepEqual(texts, single);
    const prompts = await client.completions.create({
      model: "low",
      prompt: ["cat", "dog"],
      n: 2,
      max_tokens: 2,
    });
    assert.deepEqual(prompts.choices.map(({ index }) => index), [0, 1, 2, 3]);
  }));

Deno.test("stop strings end a text before them", () =>
  served(async ({ url, alone, model }) => {
    const client = clientOf(url);
    const text = await alone("low", model.tokenizer.encode("cat"), 20);
    const stop = text.slice(4, 6);
    const answer = await client.completions.create({
      model: "low",
      prompt: "cat",
      temperature: 0,
      stop,
      max_tokens: 20,
    });
    assert.equal(answer.choices[0]!.text, text.slice(0, text.indexOf(stop)));
    assert.equal(answer.choices[0]!.finish_reason, "stop");
  }));

Deno.test("openai's client lists the models and gets its own classes of errors", () =>
  served(async ({ url }) => {
    const client = clientOf(url);
    const names: string[] = [];
    for await (const { id } of client.models.list()) names.push(id);
    assert.deepEqual(names, ["tiny", "low", "soft"]);
    assert.equal((await client.models.retrieve("tiny:soft")).id, "soft");
    await assert.rejects(client.models.retrieve("none"), NotFoundError);
    const asked = { model: "base", prompt: "a" };
    const refused = (body: Record<string, unknown>): Promise<unknown> =>
      client.completions.create({ ...asked, ...body } as OpenAI.CompletionCreateParamsNonStreaming);
    await assert.rejects(refused({ model: "other" }), (error: APIError) => {
      assert.ok(error instanceof NotFoundError);
      assert.deepEqual([error.code, error.param, error.type], [
        "model_not_found",
        "model",
        "invalid_request_error",
      ]);
      assert.match(error.message, /There is no model "other": there are tiny, low, soft/);
      return true;
    });
    await assert.rejects(refused({ prompt: "a".repeat(64) }), (error: APIError) => {
      assert.ok(error instanceof BadRequestError);
      assert.equal(error.code, "context_length_exceeded");
      return true;
    });
    await assert.rejects(refused({ best_of: 2 }), /"best_of": 2 is not supported: leave it out/);
  }));

Deno.test("what the queue cannot hold gets status 429 and when to come back", () =>
  served(async ({ url }) => {
    const client = clientOf(url);
    const ask = () =>
      client.completions.create({ model: "base", prompt: "a", temperature: 2, max_tokens: 50 });
    const answers = await Promise.allSettled(Array.from({ length: 6 }, ask));
    const refused = answers.flatMap((answer) => answer.status === "rejected" ? [answer.reason] : []);
    assert.ok(refused.length >= 1 && refused.length <= 4, String(refused.length));
    for (const error of refused) {
      assert.ok(error instanceof RateLimitError);
      assert.equal(error.code, "queue_full");
      assert.equal(error.headers?.get("retry-after"), "1");
    }
  }, { rows: 1, queue: 1 }));

Deno.test("a client that goes away makes room for others", () =>
  served(async ({ url, service }) => {
    const client = clientOf(url);
    const asked = { model: "base", prompt: "a", temperature: 2, max_tokens: 62 };
    for (const stream of [true, false]) {
      const gone = new AbortController();
      const answer = client.completions.create({ ...asked, stream }, { signal: gone.signal }).then(
        async (answer) =>
          stream ? (await (answer as AsyncIterable<unknown>)[Symbol.asyncIterator]().next(), 0) : 0,
      );
      answer.catch(() => {});
      while (service.engine!.load.writing === 0) await new Promise((resolve) => setTimeout(resolve, 1));
      gone.abort();
      for (let i = 0; service.engine!.load.writing > 0; i++) {
        assert.ok(i < 400, "the text is still written");
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
  }, { rows: 1, maxLength: 64 }));
