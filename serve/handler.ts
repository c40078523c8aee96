/**
 * OpenAI's HTTP interface to an engine: POST /v1/chat/completions, /v1/completions and /v1/embeddings, GET /v1/models, and
 * GET /health.
 */
import { isObject } from "../formats/strict_json.ts";
import { CHAT, COMPLETION, type Form, usageOf } from "./answer.ts";
import { type GenerationRequest, parseChatRequest, parseCompletionRequest } from "./requests.ts";
import { embeddings, parseEmbeddingRequest } from "./embeddings.ts";
import type { Engine, PendingText } from "./engine.ts";
import type { Fields } from "./fields.ts";
import { Problem, problemOf, problemResponse } from "./problem.ts";
import { streamed } from "./streamed.ts";
import { adapterOf, decoded, modelObject } from "./model_names.ts";
import type { Service } from "./service.ts";

/**
 * The response to a request. Never rejects: errors are responses with a status of at least 400 and OpenAI's
 * `error` object.
 *
 * @example
 * ```ts
 * import { loadModel, wasm } from "@graft/peft";
 * import { engine, respond } from "@graft/peft/serve";
 * import assert from "node:assert/strict";
 * const backend = await wasm({ threads: 1 });
 * const model = await loadModel("embedded/model", { backend });
 * const writer = engine(model, { adapters: {}, rows: 4, queue: 16 });
 * let n = 0;
 * const service = {
 *   ...{ model, engine: writer, base: "small", adapters: [], maxLength: 256, maxBytes: 1 << 20 },
 *   ...{ began: 0, now: () => 0, seed: () => 7, id: () => `${n++}`, stopping: () => false },
 * };
 * // Deno.serve((request) => respond(service, request));
 * const body = JSON.stringify({ model: "small", prompt: "Agent:", max_tokens: 2 });
 * const headers = { "content-type": "application/json" };
 * const request = new Request("http://localhost/v1/completions", { method: "POST", headers, body });
 * const { object, usage } = await (await respond(service, request)).json();
 * assert.deepEqual([object, usage.completion_tokens], ["text_completion", 2]);
 * await writer.close();
 * model.dispose();
 * backend.close();
 * ```
 */
export async function respond(service: Service, request: Request): Promise<Response> {
  try {
    return await route(service, request);
  } catch (error) {
    return problemResponse(problemOf(error));
  }
}

async function route(service: Service, request: Request): Promise<Response> {
  const path = pathOf(request).replace(/\/$/, "");
  const model = /^\/v1\/models\/(.+)$/.exec(path);
  if (model !== null) {
    allow(request, "GET");
    return Response.json(modelObject(service, adapterOf(service, decoded(model[1]!))));
  }
  switch (path) {
    case "/v1/models":
      allow(request, "GET");
      return Response.json({
        object: "list",
        data: [null, ...service.adapters].map((adapter) => modelObject(service, adapter)),
      });
    case "/health":
      allow(request, "GET");
      return Response.json({
        status: service.stopping() ? "stopping" : "ok",
        ...(service.engine?.load ?? IDLE),
      });
    case "/v1/chat/completions": {
      engineOf(service);
      const asked = parseChatRequest(await body(service, request), service.sampler);
      return await answer(service, request, CHAT, asked, [chatIds(service, asked.messages)], "messages");
    }
    case "/v1/completions": {
      const asked = parseCompletionRequest(await body(service, request), service.sampler);
      return await answer(service, request, COMPLETION, asked, asked.prompts.map(idsOf(service)), "prompt");
    }
    case "/v1/embeddings": {
      const asked = parseEmbeddingRequest(await body(service, request));
      return await embeddings(service.vectors, asked, adapterOf(service, asked.model));
    }
    default:
      throw new Problem(
        `There is no ${
          path || "/"
        }: there are /v1/chat/completions, /v1/completions, /v1/embeddings, /v1/models`,
        { status: 404, code: "not_found" },
      );
  }
}

/** The load of a server that writes nothing. */
const IDLE = { waiting: 0, writing: 0 };

/** @throws {Problem} where the model writes no text. */
function engineOf({ engine, model }: Service): Engine {
  if (engine !== undefined) return engine;
  throw new Problem(
    `Cannot write with ${model.architecture.name}: this server makes vectors, at /v1/embeddings`,
    {
      status: 404,
      code: "not_found",
    },
  );
}

/** The requested path. @throws {Problem} where the address is invalid, as with a malformed Host. */
export function pathOf(request: Request): string {
  try {
    return new URL(request.url).pathname;
  } catch (error) {
    throw new Problem(`Cannot read the address: ${(error as Error).message}`, { code: "invalid_url" });
  }
}

function allow(request: Request, method: string): void {
  if (request.method === method) return;
  throw new Problem(`Expected ${method} but found ${request.method}`, {
    status: 405,
    code: "method_not_allowed",
    headers: { allow: method },
  });
}

async function body({ maxBytes }: Service, request: Request): Promise<Fields> {
  allow(request, "POST");
  // A page of another origin cannot send this type without a preflight request.
  if (!/^application\/json\b/i.test(request.headers.get("content-type") ?? "")) {
    throw new Problem("Expected a body of type application/json", {
      status: 415,
      code: "unsupported_media_type",
    });
  }
  const text = await textOf(request, maxBytes);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Problem(`Cannot parse the body as JSON: ${(error as Error).message}`, { code: "invalid_json" });
  }
  if (!isObject(value)) throw new Problem("Expected the body to be a JSON object", { code: "invalid_json" });
  return value;
}

/** The body's text. @throws {Problem} when it is too long or incomplete. */
async function textOf(request: Request, maxBytes: number): Promise<string> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  try {
    for await (const chunk of request.body ?? []) {
      size += chunk.length;
      if (size > maxBytes) break;
      chunks.push(chunk);
    }
  } catch (error) {
    throw new Problem(`Cannot read the body: ${(error as Error).message}`, { code: "invalid_body" });
  }
  if (size <= maxBytes) return await new Blob(chunks).text();
  throw new Problem(`Expected a body of at most ${maxBytes} bytes`, {
    status: 413,
    code: "request_too_large",
  });
}

function chatIds(
  { model: { tokenizer } }: Service,
  messages: ReturnType<typeof parseChatRequest>["messages"],
) {
  let text: string;
  try {
    text = tokenizer.chat(messages, { addGenerationPrompt: true });
  } catch (error) {
    throw new Problem((error as Error).message, { param: "messages", code: "invalid_messages" });
  }
  // A chat template writes its own special tokens.
  return tokenizer.encode(text, { addSpecialTokens: false });
}

const idsOf =
  ({ model: { tokenizer } }: Service) => (prompt: string | readonly number[]): readonly number[] => {
    if (typeof prompt === "string") return tokenizer.encode(prompt);
    const bad = prompt.find((id) => id >= tokenizer.vocabSize);
    if (bad === undefined) return prompt;
    throw new Problem(`Expected token ids below ${tokenizer.vocabSize} but found ${bad}`, {
      param: "prompt",
    });
  };

/** Queues the texts and returns them, streamed or all at once. */
async function answer(
  service: Service,
  request: Request,
  form: Form,
  asked: GenerationRequest,
  prompts: readonly (readonly number[])[],
  param: string,
): Promise<Response> {
  const running = engineOf(service);
  const adapter = adapterOf(service, asked.model);
  const texts = prompts.flatMap((prompt) => {
    const maxTokens = newTokens(running, service, asked, adapter, prompt.length, param);
    return Array.from({ length: asked.n }, () => ({ prompt, maxTokens }));
  });
  const { places } = running;
  if (texts.length > places) {
    // Not a 429: the request could never be accepted.
    throw new Problem(
      `The request asks for ${texts.length} texts but at most ${places} are written or wait at once: ask for fewer`,
      { param: asked.n > 1 ? "n" : param, code: "too_many_texts" },
    );
  }
  if (service.stopping()) {
    throw new Problem("The server stops and takes no more requests", {
      status: 503,
      type: "server_error",
      code: "stopping",
    });
  }
  const heading = { id: form.prefix + service.id(), created: service.now(), model: asked.model };
  const seed = asked.seed ?? service.seed();
  const submit = (hear: (index: number, chunk: string) => void): readonly PendingText[] => {
    const promised: PendingText[] = [];
    try {
      for (const [i, text] of texts.entries()) {
        const job = {
          ...{ ...text, adapter, seed: (seed + i) % Number.MAX_SAFE_INTEGER, stop: asked.stop },
          ...asked.sampler && { sampler: asked.sampler },
        };
        promised.push(running.submit(job, (chunk) => hear(i, chunk)));
      }
    } catch (error) {
      for (const { written, cancel } of promised) {
        written.catch(() => {});
        cancel();
      }
      throw error;
    }
    return promised;
  };
  const promptTokens = prompts.reduce((sum, prompt) => sum + prompt.length, 0);
  if (asked.stream) return streamed(form, heading, promptTokens, asked.includeUsage, submit);
  const promised = submit(() => {});
  const all = Promise.all(promised.map(({ written }) => written));
  const cancel = (): void => promised.forEach(({ cancel }) => cancel());
  request.signal.addEventListener("abort", cancel);
  if (request.signal.aborted) cancel();
  try {
    const written = await all;
    return Response.json(form.whole(heading, written, usageOf(promptTokens, written)));
  } catch (error) {
    cancel();
    throw error;
  } finally {
    request.signal.removeEventListener("abort", cancel);
  }
}

/**
 * The maximum number of new tokens. @throws {Problem} when the prompt, or the requested number, does not fit.
 */
function newTokens(
  engine: Engine,
  { maxLength, maxTokens: usual = Infinity }: Service,
  { maxTokens }: GenerationRequest,
  adapter: string | null,
  prompt: number,
  param: string,
): number {
  const most = Math.min(engine.room(adapter), maxLength);
  const tooLong = (message: string, param: string): Problem =>
    new Problem(message, { param, code: "context_length_exceeded" });
  if (prompt === 0) throw new Problem(`Expected "${param}" to have a token but found none`, { param });
  const left = most - prompt;
  if (left < 1) {
    throw tooLong(
      `The prompt has ${prompt} tokens but prompt and answer together have at most ${most}: shorten it`,
      param,
    );
  }
  if (maxTokens !== undefined && maxTokens > left) {
    throw tooLong(
      `The prompt's ${prompt} tokens leave ${left} for the answer but ${maxTokens} were asked for: ask for fewer`,
      "max_tokens",
    );
  }
  return maxTokens ?? Math.min(left, usual);
}
