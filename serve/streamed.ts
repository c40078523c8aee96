/** An answer that is sent while it is generated. */
import { type Form, type Heading, usageOf } from "./answer.ts";
import type { PendingText } from "./engine.ts";
import { problemBody, problemOf } from "./problem.ts";
import type { Written } from "./text_job.ts";

/**
 * Server-sent events: chunks, and [DONE]. An error after the first chunk is sent as the last chunk.
 *
 * @param includeUsage End with the token counts; in earlier chunks they are null, as in OpenAI's.
 * @param submit Queues the texts. Its exceptions propagate.
 */
export function streamed(
  form: Form,
  heading: Heading,
  promptTokens: number,
  includeUsage: boolean,
  submit: (hear: (index: number, chunk: string) => void) => readonly PendingText[],
): Response {
  const encoder = new TextEncoder();
  let open = true;
  let controller: ReadableStreamDefaultController<Uint8Array>;
  const send = (data: unknown): void => {
    const text = typeof data === "string" ? data : JSON.stringify(data);
    if (open) controller.enqueue(encoder.encode(`data: ${text}\n\n`));
  };
  const sendChunk = (chunk: unknown): void =>
    send(includeUsage ? { ...chunk as Readonly<Record<string, unknown>>, usage: null } : chunk);
  // No chunk arrives before this function returns.
  const promised = submit((index, chunk) => sendChunk(form.chunk(heading, index, chunk)));
  const finished = async ({ written }: PendingText, index: number): Promise<Written> => {
    const text = await written;
    sendChunk(form.last(heading, index, text.reason));
    return text;
  };
  const finish = async (): Promise<void> => {
    try {
      const texts = await Promise.all(promised.map(finished));
      if (includeUsage) send(form.counts(heading, usageOf(promptTokens, texts)));
      send("[DONE]");
    } catch (error) {
      promised.forEach(({ cancel }) => cancel());
      send(problemBody(problemOf(error)));
    }
    if (open) controller.close();
    open = false;
  };
  const stream = new ReadableStream<Uint8Array>({
    start: (made) => {
      controller = made;
      for (const index of promised.keys()) {
        const first = form.first(heading, index);
        if (first !== undefined) sendChunk(first);
      }
      void finish();
    },
    cancel: () => {
      open = false;
      promised.forEach(({ cancel }) => cancel());
    },
  });
  const headers = { "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache" };
  return new Response(stream, { headers });
}
