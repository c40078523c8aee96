/** The studio's files, as any host can serve them: the page, its worker, the embedded model and its conversations. */
import { bundle } from "../browser/bundle.ts";
import { fold, key } from "../core/mod.ts";
import { conversation } from "../embedded/conversations/mod.ts";

const here = (path: string): URL => new URL(path, import.meta.url);

/** What stands for modules of Node's in the worker: its own files, and a program's process. */
const BUILTINS: Readonly<Record<string, URL>> = {
  "node:crypto": here("./node/crypto.ts"),
  "node:events": here("./node/small.ts"),
  "node:fs": here("./node/fs.ts"),
  "node:fs/promises": here("./node/fs_promises.ts"),
  "node:module": here("./node/small.ts"),
  "node:os": here("./node/small.ts"),
  "node:path": here("./node/path.ts"),
  "node:process": here("./node/process.ts"),
  "node:timers/promises": here("./node/small.ts"),
  "node:tty": here("./node/small.ts"),
  "node:url": here("./node/small.ts"),
  "node:util": here("./node/small.ts"),
};

/** Sources of the command line that ask the machine for what a tab has not. */
const SOURCES: Readonly<Record<string, URL>> = {
  "cli/embedded_model.ts": here("./worker/embedded_model.ts"),
  "cli/tokenizing/pool.ts": here("./worker/tokenizer_pool.ts"),
};

/** A file of the studio. */
export interface StudioFile {
  /** Below the studio's folder: "index.html". */
  readonly path: string;
  readonly type: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** How many conversations come along, of one kind of company: enough for two or three passes to show. */
const CONVERSATIONS = 480;

/** Builds all files. Bundles the page and the worker with esbuild. */
export async function buildStudio(): Promise<readonly StudioFile[]> {
  const text = (path: string, type: string, content: string): StudioFile => ({
    path,
    type: `${type}; charset=utf-8`,
    bytes: new TextEncoder().encode(content),
  });
  const read = async (path: string, from: URL, type: string): Promise<StudioFile> => ({
    path,
    type,
    bytes: await Deno.readFile(from),
  });
  const page = await bundle(here("./page/main.tsx"));
  const worker = await bundle(here("./worker/main.ts"), {
    builtins: BUILTINS,
    sources: SOURCES,
    without: ["cli-progress"],
  });
  const records = Array.from({ length: CONVERSATIONS }, (_, i) => {
    const { dialogue, summary } = conversation(fold(key(0), "studio"), i, "delivery");
    return JSON.stringify({ dialogue, summary });
  });
  return [
    await read("index.html", here("./page/index.html"), "text/html; charset=utf-8"),
    await read("studio.css", here("./page/studio.css"), "text/css; charset=utf-8"),
    text("page.js", "text/javascript", page),
    text("worker.js", "text/javascript", worker),
    text("conversations.jsonl", "application/x-ndjson", `${records.join("\n")}\n`),
    ...await Promise.all(
      MODEL_FILES.map((name) =>
        read(
          `embedded/${name}`,
          here(`../embedded/model/${name}`),
          name.endsWith(".json") ? "application/json" : "application/octet-stream",
        )
      ),
    ),
  ];
}

/** The embedded model's files. */
const MODEL_FILES = ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"];
