/** The page's side of the worker: calls that are answered, and news. */
/// <reference lib="dom" />
import type { Asked, CallName, Calls, News, Said } from "../protocol.ts";

/** Calls to the worker. */
export interface Client {
  /** @throws {Error} with the worker's message, which is for people. */
  call<N extends CallName>(call: N, given: Parameters<Calls[N]>[0]): Promise<ReturnType<Calls[N]>>;
}

/** Starts the worker. `heard` is called with news, `broken` when the worker itself fails. */
export function startClient(heard: (news: News) => void, broken: (message: string) => void): Client {
  const worker = new Worker("worker.js", { type: "module" });
  const waiting = new Map<number, PromiseWithResolvers<unknown>>();
  let last = 0;
  worker.onerror = ({ message }) => broken(message || "The worker did not load: reload the page");
  worker.onmessage = ({ data }: MessageEvent<Said>) => {
    if (data.kind !== "answer" && data.kind !== "failed") return heard(data);
    const answer = waiting.get(data.id);
    waiting.delete(data.id);
    if (data.kind === "answer") answer?.resolve(data.value);
    else answer?.reject(new Error(data.message));
  };
  return {
    call: <N extends CallName>(call: N, given: Parameters<Calls[N]>[0]): Promise<ReturnType<Calls[N]>> => {
      const answer = Promise.withResolvers<unknown>();
      waiting.set(++last, answer);
      worker.postMessage({ id: last, call, given } as Asked);
      return answer.promise as Promise<ReturnType<Calls[N]>>;
    },
  };
}
