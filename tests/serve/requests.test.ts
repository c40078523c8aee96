/** What a request may not say: every refusal is OpenAI's object with the field's name, and nothing is written. */
import assert from "node:assert/strict";
import { served } from "./served.ts";

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string;
    readonly code: string;
  };
}

async function post(url: string, body: string, type = "application/json"): Promise<Answer> {
  const response = await fetch(url, { method: "POST", body, headers: { "content-type": type } });
  return { status: response.status, headers: response.headers, error: (await response.json()).error };
}

/** What comes back for a request as it stands, after which the client sends no more. */
async function spoken(url: string, request: string): Promise<string> {
  const { hostname, port } = new URL(url);
  const connection = await Deno.connect({ hostname, port: Number(port) });
  await connection.write(new TextEncoder().encode(request));
  await connection.closeWrite();
  return await new Response(connection.readable).text();
}

const MESSAGES = [{ role: "user", content: "a" }];

Deno.test("a chat request is refused for each field that is wrong, by its name", () =>
  served(async ({ url, service }) => {
    const cases: readonly (readonly [fields: Record<string, unknown>, param: string, complaint: RegExp])[] = [
      [{ model: undefined }, "model", /Expected "model" to be the name of a model but found nothing/],
      [{ model: 7 }, "model", /but found 7/],
      [{ messages: undefined }, "messages", /a list of messages/],
      [{ messages: [] }, "messages", /a list of messages/],
      [{ messages: ["a"] }, "messages[0]", /a message with role and content/],
      [
        { messages: [{ role: "robot", content: "a" }] },
        "messages[0].role",
        /one of system, developer, user, assistant/,
      ],
      [{ messages: [{ role: "user", content: null }] }, "messages[0].content", /a text/],
      [
        { messages: [{ role: "user", content: [{ type: "image_url" }] }] },
        "messages[0].content[0]",
        /type "text"/,
      ],
      [{ temperature: 2.1 }, "temperature", /a number from 0 to 2 but found 2.1/],
      [{ temperature: "1" }, "temperature", /but found "1"/],
      [{ top_p: -0.1 }, "top_p", /from 0 to 1/],
      [{ top_k: 0 }, "top_k", /an integer from 1/],
      [{ max_tokens: 0 }, "max_tokens", /an integer from 1 but found 0/],
      [{ max_completion_tokens: 1.5 }, "max_completion_tokens", /an integer/],
      [{ max_tokens: 64 }, "max_tokens", /leave 58 for the answer but 64 were asked for/],
      [
        { messages: [{ role: "user", content: "a".repeat(70) }] },
        "messages",
        /has 75 tokens but .* at most 64/,
      ],
      [{ seed: 0.5 }, "seed", /an integer from 0/],
      [{ seed: -1 }, "seed", /an integer from 0/],
      [{ stop: "" }, "stop", /none empty/],
      [{ stop: ["a", "b", "c", "d", "e"] }, "stop", /at most 4/],
      [{ stream: "yes" }, "stream", /true or false/],
      [{ stream_options: { include_usage: true } }, "stream_options", /beside "stream": true/],
      [{ n: 0 }, "n", /an integer from 1 to 128 but found 0/],
      [{ n: 129 }, "n", /an integer from 1 to 128 but found 129/],
      [{ n: "2" }, "n", /but found "2"/],
      [{ n: 13 }, "n", /asks for 13 texts but at most 12 are written or wait at once/],
      [{ logprobs: true }, "logprobs", /not supported/],
      [{ tools: [{ type: "function" }] }, "tools", /not supported/],
      [{ response_format: { type: "json_object" } }, "response_format", /not supported/],
      [{ presence_penalty: 0.5 }, "presence_penalty", /not supported/],
      [{ logit_bias: { 3: 1 } }, "logit_bias", /not supported/],
      [{ temprature: 1 }, "temprature", /There is no field "temprature" here/],
    ];
    for (const [fields, param, complaint] of cases) {
      const body = JSON.stringify({ model: "base", messages: MESSAGES, ...fields });
      const { status, error } = await post(`${url}/chat/completions`, body);
      assert.match(error.message, complaint);
      assert.deepEqual(
        [status, error.type, error.param],
        [400, "invalid_request_error", param],
        error.message,
      );
    }
    assert.deepEqual(service.engine!.load, { waiting: 0, writing: 0 });
  }));

Deno.test("a completion request is refused for prompts that are none, and for what would change the answer", () =>
  served(async ({ url }) => {
    const cases: readonly (readonly [fields: Record<string, unknown>, param: string, complaint: RegExp])[] = [
      [{ prompt: undefined }, "prompt", /a text, token ids, or a list/],
      [{ prompt: [] }, "prompt", /a text, token ids, or a list/],
      [{ prompt: "" }, "prompt", /to have a token but found none/],
      [{ prompt: [1, -1] }, "prompt", /a text, token ids, or a list/],
      [{ prompt: [1, 99] }, "prompt", /token ids below 37 but found 99/],
      [{ prompt: [["a"]] }, "prompt", /a text, token ids, or a list/],
      [{ prompt: "a".repeat(64) }, "prompt", /The prompt has 64 tokens/],
      [{ prompt: Array(13).fill("a") }, "prompt", /asks for 13 texts but at most 12/],
      [{ prompt: Array(7).fill("a"), n: 2 }, "n", /asks for 14 texts but at most 12/],
      [{ echo: true }, "echo", /not supported/],
      [{ suffix: "x" }, "suffix", /not supported/],
      [{ logprobs: 0 }, "logprobs", /not supported/],
      [{ messages: MESSAGES }, "messages", /There is no field "messages" here/],
    ];
    for (const [fields, param, complaint] of cases) {
      const { status, error } = await post(
        `${url}/completions`,
        JSON.stringify({ model: "base", prompt: "a", ...fields }),
      );
      assert.match(error.message, complaint);
      assert.deepEqual([status, error.param], [400, param], error.message);
    }
  }));

Deno.test("paths, methods, types and sizes have their own statuses", () =>
  served(async ({ url }) => {
    const chat = `${url}/chat/completions`;
    const codes = async (answer: Promise<Answer>) => {
      const { status, error } = await answer;
      return [status, error.code];
    };
    assert.deepEqual(await codes(post(chat, "{oops")), [400, "invalid_json"]);
    assert.deepEqual(await codes(post(chat, "[1]")), [400, "invalid_json"]);
    assert.deepEqual(await codes(post(chat, "{}", "text/plain")), [415, "unsupported_media_type"]);
    assert.deepEqual(await codes(post(chat, " ".repeat(20_001))), [413, "request_too_large"]);
    assert.deepEqual(await codes(post(`${url}/moderations`, "{}")), [404, "not_found"]);
    for (const path of ["%E0%A4%A", "%", "tiny%2fsoft"]) {
      const nameless = await fetch(`${url}/models/${path}`);
      const { error } = await nameless.json();
      assert.deepEqual([nameless.status, error.code], [404, "model_not_found"], path);
    }
    const wrong = await fetch(chat);
    assert.deepEqual([wrong.status, wrong.headers.get("allow")], [405, "POST"]);
    await wrong.body?.cancel();
    for (
      const head of [
        "GET /health HTTP/1.1\r\nhost: a b",
        "POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 90\r\n\r\n{",
      ]
    ) {
      const answer = await spoken(url, `${head}\r\n\r\n`);
      assert.match(answer, /^HTTP\/1\.1 400 .*"error":\{"message":"Cannot read the (address|body): /s, head);
    }
    const health = await fetch(url.replace("/v1", "/health"));
    assert.deepEqual(await health.json(), { status: "ok", waiting: 0, writing: 0 });
  }));

Deno.test("a context that an adapter's prompt shortens, and a limit below the context, count", () =>
  served(async ({ url }) => {
    const ask = async (model: string, tokens: number): Promise<number> => {
      const prompt = Array(tokens).fill(5);
      const body = JSON.stringify({ model, prompt, max_tokens: 1, temperature: 0 });
      const response = await fetch(`${url}/completions`, {
        method: "POST",
        body,
        headers: { "content-type": "application/json" },
      });
      await response.body?.cancel();
      return response.status;
    };
    assert.deepEqual([await ask("base", 61), await ask("base", 62)], [200, 400]);
    assert.deepEqual([await ask("soft", 60), await ask("soft", 61)], [200, 400]); // three rows of 64 are the prompt's
  }, { maxLength: 62 }));

Deno.test("a server that stops refuses what is new", () =>
  served(async ({ url }) => {
    const { status, error } = await post(
      `${url}/completions`,
      JSON.stringify({ model: "base", prompt: "a" }),
    );
    assert.deepEqual([status, error.type, error.code], [503, "server_error", "stopping"]);
  }, { stopping: () => true }));
