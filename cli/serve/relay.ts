/**
 * Requests and responses between two threads: one that holds the connections and never computes for long, and one that answers.
 */
import { rangeError } from "../../errors/error.ts";
import type { ThisThread } from "../../platform/own_thread.ts";
import { problemOf, problemResponse } from "../../serve/problem.ts";

/** Texts that wait and that are written. */
export interface Load {
  readonly waiting: number;
  readonly writing: number;
}

/** To the thread that answers. */
export type ToAnswering =
  | {
    readonly kind: "request";
    readonly id: number;
    readonly url: string;
    readonly method: string;
    readonly headers: readonly (readonly [string, string])[];
    readonly body: Uint8Array<ArrayBuffer> | undefined;
  }
  | { readonly kind: "cancel"; readonly id: number }
  | { readonly kind: "stopping" }
  | { readonly kind: "close" };

/** From it: a response in parts, each with the load at that time. */
export type FromAnswering =
  & { readonly load: Load }
  & (
    | {
      readonly kind: "head";
      readonly id: number;
      readonly status: number;
      readonly headers: readonly (readonly [string, string])[];
    }
    | { readonly kind: "chunk"; readonly id: number; readonly bytes: Uint8Array<ArrayBuffer> }
    | { readonly kind: "end"; readonly id: number }
    | { readonly kind: "load" }
    | { readonly kind: "closed" }
  );

/** The side that holds the connections. */
export interface Relay {
  /** The load as last heard. */
  readonly load: Load;
  /** The other thread's response. Never rejects. */
  respond(request: Request, maxBytes: number): Promise<Response>;
  /** Takes what the other thread posts. */
  hear(message: FromAnswering): void;
  /** Ends all responses: the other thread is gone. */
  fail(error: unknown): void;
}

/** A response that is awaited, or being received. */
interface Awaited {
  begin(response: Response): void;
  stream: ReadableStreamDefaultController<Uint8Array> | undefined;
}

/** See `Relay`. */
export function relay(post: (message: ToAnswering) => void): Relay {
  const awaited = new Map<number, Awaited>();
  let [next, load, gone]: [number, Load, unknown] = [0, { waiting: 0, writing: 0 }, undefined];
  const cancel = (id: number): void => {
    if (awaited.delete(id)) post({ kind: "cancel", id });
  };
  return {
    get load() {
      return load;
    },
    respond: async (request, maxBytes) => {
      let body: Uint8Array<ArrayBuffer> | undefined;
      try {
        body = await bytesOf(request, maxBytes);
      } catch (error) {
        return problemResponse(
          problemOf(rangeError("INVALID_ARGUMENT", `Cannot read the body: ${(error as Error).message}`)),
        );
      }
      if (gone !== undefined) return problemResponse(problemOf(gone));
      const id = next++;
      const { promise, resolve } = Promise.withResolvers<Response>();
      awaited.set(id, { begin: resolve, stream: undefined });
      request.signal.addEventListener("abort", () => cancel(id), { once: true });
      const { url, method } = request;
      post({ kind: "request", id, url, method, headers: [...request.headers], body });
      if (request.signal.aborted) cancel(id);
      return await promise;
    },
    hear: (message) => {
      load = message.load;
      const own = "id" in message ? awaited.get(message.id) : undefined;
      if (own === undefined || !("id" in message)) return;
      if (message.kind === "head") {
        const { id, status, headers } = message;
        const stream = new ReadableStream<Uint8Array>({
          start: (controller) => void (own.stream = controller),
          cancel: () => cancel(id),
        });
        own.begin(
          new Response(stream, {
            status,
            headers: headers.map(([name, value]): [string, string] => [name, value]),
          }),
        );
      } else if (message.kind === "chunk") own.stream?.enqueue(message.bytes);
      else {
        awaited.delete(message.id);
        own.stream?.close();
      }
    },
    fail: (error) => {
      gone = error;
      for (const { begin, stream } of awaited.values()) {
        if (stream === undefined) begin(problemResponse(problemOf(error)));
        else stream.error(error);
      }
      awaited.clear();
    },
  };
}

/** The body, or the beginning of one that is longer than `most`, which is as wrong. */
async function bytesOf(request: Request, most: number): Promise<Uint8Array<ArrayBuffer> | undefined> {
  if (request.body === null) return undefined;
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  for await (const chunk of request.body) {
    size += chunk.length;
    chunks.push(chunk);
    if (size > most) break;
  }
  return new Uint8Array(await new Blob(chunks).arrayBuffer());
}

/** The side that answers: hands each request to `respond`, and its response back in parts. `closed` ends the service. */
export function answerBy(
  { post, listen }: Pick<ThisThread, "post" | "listen">,
  respond: (request: Request) => Promise<Response>,
  service: { readonly load: () => Load; readonly stopping: () => void; readonly close: () => Promise<void> },
): void {
  const running = new Map<number, AbortController>();
  let told = service.load();
  const tell = (part: Record<string, unknown>): void => {
    told = service.load();
    post({ ...part, load: told });
  };
  const answer = async (message: ToAnswering & { readonly kind: "request" }): Promise<void> => {
    const { id, url, method, headers, body } = message;
    const controller = new AbortController();
    running.set(id, controller);
    const { signal } = controller;
    const request = new Request(url, {
      ...{ method, signal, headers: headers.map(([name, value]) => [name, value] as [string, string]) },
      ...body !== undefined && { body },
    });
    tell({ kind: "load" });
    const response = await respond(request);
    tell({ kind: "head", id, status: response.status, headers: [...response.headers] });
    const reader = response.body?.getReader();
    signal.addEventListener("abort", () => void reader?.cancel().catch(() => {}));
    if (signal.aborted) void reader?.cancel().catch(() => {});
    for (let part = await reader?.read(); part !== undefined && !part.done; part = await reader!.read()) {
      tell({ kind: "chunk", id, bytes: part.value });
    }
    running.delete(id);
    tell({ kind: "end", id });
  };
  const timer = setInterval(() => {
    const now = service.load();
    if (now.waiting !== told.waiting || now.writing !== told.writing) tell({ kind: "load" });
  }, 50);
  listen((given) => {
    const message = given as ToAnswering;
    switch (message.kind) {
      case "request":
        return void answer(message);
      case "cancel":
        return running.get(message.id)?.abort();
      case "stopping":
        return service.stopping();
      case "close":
        clearInterval(timer);
        return void service.close().finally(() => tell({ kind: "closed" }));
    }
  });
}
