/**
 * Serves the training page: `deno task browser`. By default with the headers that let a page share memory
 * between its workers.
 *
 * @module
 */
import { fold, key } from "../core/mod.ts";
import { conversation } from "../embedded/conversations/mod.ts";
import { bundle } from "./bundle.ts";

/** Options of serving. */
export interface PageOptions {
  /** Send the headers of cross-origin isolation. Without them a page computes on one thread. Default true. */
  readonly isolated?: boolean;
  /** Conversations to train on, default 64. */
  readonly records?: number;
}

/** The page's files as a function of the request. Bundles the worker first. */
export async function pageHandler(
  options: PageOptions = {},
): Promise<(request: Request) => Promise<Response>> {
  const { isolated = true, records = 64 } = options;
  const worker = await bundle(new URL("./train_worker.ts", import.meta.url));
  const data = JSON.stringify(recordsOf(records));
  const headers = (type: string): HeadersInit => ({
    "content-type": type,
    ...isolated && {
      "cross-origin-opener-policy": "same-origin",
      "cross-origin-embedder-policy": "require-corp",
    },
  });
  return async (request) => {
    const { pathname } = new URL(request.url);
    if (pathname === "/worker.js") return new Response(worker, { headers: headers("text/javascript") });
    if (pathname === "/records.json") return new Response(data, { headers: headers("application/json") });
    const file = FILES[pathname];
    if (file === undefined) return new Response("not found", { status: 404 });
    return new Response(await Deno.readFile(new URL(file.from, import.meta.url)), {
      headers: headers(file.type),
    });
  };
}

const FILES: Readonly<Record<string, { readonly from: string; readonly type: string }>> = {
  "/": { from: "./index.html", type: "text/html; charset=utf-8" },
  "/model/config.json": { from: "../embedded/model/config.json", type: "application/json" },
  "/model/tokenizer.json": { from: "../embedded/model/tokenizer.json", type: "application/json" },
  "/model/tokenizer_config.json": {
    from: "../embedded/model/tokenizer_config.json",
    type: "application/json",
  },
  "/model/model.safetensors": {
    from: "../embedded/model/model.safetensors",
    type: "application/octet-stream",
  },
};

/** Conversations with their summaries, none of which the embedded model has seen. */
export function recordsOf(count: number): readonly { readonly dialogue: string; readonly summary: string }[] {
  const from = fold(key(0), "browser");
  return Array.from({ length: count }, (_, i) => {
    const { dialogue, summary } = conversation(from, i);
    return { dialogue, summary };
  });
}

if (import.meta.main) {
  Deno.serve({ hostname: "127.0.0.1", port: Number(Deno.args[0] ?? 8000) }, await pageHandler());
}
