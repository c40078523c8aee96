/** Models of a tab: the embedded one, files that were dropped on it, repositories of the hub. */
/// <reference lib="dom" />
import { type Model, weightLeaves } from "../../core/mod.ts";
import { neededFiles } from "../../io/hub/files.ts";
import { hubId } from "../../io/hub/download.ts";
import { loadTokenizerOf } from "../../io/load_model.ts";
import { checkpointShapes } from "../../io/model_shapes.ts";
import { contextLength } from "../../models/mod.ts";
import { failure, rangeError } from "../../errors/error.ts";
import { blobBytes, reasonOf } from "../files/opfs.ts";
import type { ModelInfo } from "../protocol.ts";
import { runPlan } from "./commands.ts";
import type { Context } from "./context.ts";
import { isSame, placeOf } from "./dropped_files.ts";

/** What a WebAssembly memory holds. */
export const LIMIT: number = 2 ** 32;

/** The files of the embedded model. */
const EMBEDDED = ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"] as const;

/** A size for people. */
export const showSize = (bytes: number): string =>
  bytes < 1e9 ? `${(bytes / 1e6).toPrecision(3)} MB` : `${(bytes / 1e9).toPrecision(3)} GB`;

/** The small model that comes with the page. */
export async function useEmbedded(context: Context): Promise<ModelInfo> {
  for (const name of EMBEDDED) {
    const path = `/embedded/${name}`;
    if (context.volume.find(path) === undefined) await fetched(context, `embedded/${name}`, path);
  }
  return await modelInfo("embedded");
}

/** Fetches a file into the storage, or into memory where that has no room. */
async function fetched(context: Context, url: string, path: string): Promise<void> {
  const { volume, tell } = context;
  const { body, size } = await answered(url);
  const file = path.slice(path.lastIndexOf("/") + 1);
  const received = (bytes: number): void => tell({ kind: "download", file, received: bytes, total: size });
  if (await isStored(context, path, size, () => body, received)) return;
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let bytes = 0;
  // What the storage took before it was full is gone.
  for await (const chunk of body.locked ? (await answered(url)).body : body) {
    chunks.push(chunk);
    received(bytes += chunk.length);
  }
  volume.put(path, blobBytes(new Blob(chunks)));
}

async function answered(
  url: string,
): Promise<{ readonly body: ReadableStream<Uint8Array<ArrayBuffer>>; readonly size: number }> {
  const answer = await fetch(url).catch((cause) => {
    throw failure("HUB_UNREACHABLE", `Cannot reach ${new URL(url, location.href).host}: ${cause.message}`, {
      cause,
    });
  });
  if (!answer.ok || answer.body === null) {
    throw failure("HUB_UNREACHABLE", `Cannot fetch ${url}: the server answers ${answer.status}`);
  }
  return { body: answer.body, size: Number(answer.headers.get("content-length") ?? 0) };
}

/** Streams bytes into the storage. False, and said, where it has no room for them. */
async function isStored(
  { storage, tell }: Pick<Context, "storage" | "tell">,
  path: string,
  size: number,
  content: () => ReadableStream<Uint8Array>,
  received: (bytes: number) => void,
): Promise<boolean> {
  if (storage === undefined) return false;
  const free = await freeRoom();
  if (size > free) {
    tell({
      kind: "storage",
      problem: `The browser's storage for this page has ${showSize(free)} left, and ${path.slice(1)} takes ${
        showSize(size)
      }: it stays in this tab only.`,
    });
    return false;
  }
  try {
    await storage.store(path, content(), received);
    return true;
  } catch (error) {
    if ((error as Error).name !== "QuotaExceededError") throw error;
    tell({ kind: "storage", problem: reasonOf(error) });
    return false;
  }
}

async function freeRoom(): Promise<number> {
  const { quota = 0, usage = 0 } = await navigator.storage.estimate();
  return quota - usage;
}

/** Files that a person has dropped: one GGUF file, or those of a checkpoint's folder. */
export async function useFiles(context: Context, files: readonly File[]): Promise<ModelInfo> {
  const { volume, storage, tell } = context;
  const place = placeOf(files);
  const fresh: (readonly [string, File])[] = [];
  for (const file of files) {
    const path = place.endsWith(".gguf") ? `/${place}` : `/${place}/${file.name}`;
    if (await isSame(volume.find(path), file)) continue;
    // First as it lies on the person's disk, so that what is no model is not copied.
    volume.put(path, blobBytes(file));
    fresh.push([path, file]);
  }
  const info = await modelInfo(place);
  if (storage !== undefined) {
    for (const [path, file] of fresh) {
      const received = (bytes: number): void =>
        tell({ kind: "download", file: file.name, received: bytes, total: file.size });
      await isStored(context, path, file.size, () => file.stream(), received);
    }
  }
  return info;
}

/** A repository of the hub; what lies in the storage is not fetched again. */
export async function useHub(context: Context, id: string): Promise<ModelInfo> {
  const found = hubId(id.trim());
  if (found === undefined) {
    throw rangeError(
      "MODEL_NOT_FOUND",
      `Expected a name such as HuggingFaceTB/SmolLM2-135M but found "${id}"`,
    );
  }
  const { name, revision = "main" } = found;
  const place = revision === "main" ? name : `${name}@${revision}`;
  const files = await listed(context, name, revision);
  const total = files.reduce((sum, { size }) => sum + size, 0);
  if (total > LIMIT) {
    throw rangeError(
      "OUT_OF_MEMORY",
      `${name} is too large for a tab: its files have ${showSize(total)}, and a tab's memory holds ${
        showSize(LIMIT)
      }. Nothing was loaded.`,
    );
  }
  for (const { path, size } of files) {
    const at = `/${place}/${path}`;
    const known = context.volume.find(at);
    if (known?.kind === "file" && known.size === size) continue;
    await fetched(context, `${context.hub}/${name}/resolve/${revision}/${path}`, at);
  }
  const gguf = files.find(({ path }) => path.endsWith(".gguf"));
  return await modelInfo(gguf === undefined ? place : `${place}/${gguf.path}`);
}

/** The files that a model needs, with their sizes. */
async function listed(
  { hub }: Context,
  name: string,
  revision: string,
): Promise<readonly { readonly path: string; readonly size: number }[]> {
  const url = `${hub}/api/models/${name}/revision/${revision}?blobs=true`;
  const answer = await fetch(url).catch((cause) => {
    throw failure(
      "HUB_UNREACHABLE",
      `Cannot reach ${
        new URL(hub, location.href).host
      }: without a connection use the embedded model or a file of yours`,
      { cause },
    );
  });
  if (!answer.ok) {
    throw rangeError(
      "MODEL_NOT_FOUND",
      answer.status === 404 || answer.status === 401
        ? `The hub has no public model ${name}`
        : `Cannot list the files of ${name}: the hub answers ${answer.status}`,
    );
  }
  const { siblings } = await answer.json() as {
    readonly siblings: readonly { readonly rfilename: string; readonly size?: number }[];
  };
  const needed = new Set(neededFiles(name, siblings.map(({ rfilename }) => rfilename)));
  return siblings.filter(({ rfilename }) => needed.has(rfilename))
    .map(({ rfilename, size = 0 }) => ({ path: rfilename, size }));
}

/** What is known of a model from its headers; no weight is read. @throws where it is none that can be trained. */
export async function modelInfo(name: string): Promise<ModelInfo> {
  const model = checkpointShapes(name);
  try {
    const tokenizer = await loadTokenizerOf(name);
    if (tokenizer === undefined) {
      throw failure("TOKENIZER_UNSUPPORTED", `${name} has no tokenizer: drop its tokenizer.json with it`);
    }
    const leaves = weightLeaves(model.weights).map(([, leaf]) => leaf);
    const bytes = leaves.reduce((sum, leaf) => sum + leaf.bytes, 0);
    const context = contextLength(model);
    const needs = await neededBy(name, "lora", context);
    return {
      name,
      architecture: model.architecture.name,
      parameters: leaves.reduce((sum, leaf) => sum + leaf.size, 0),
      bytes,
      layers: model.spec.blocks.length,
      width: model.spec.embeddings[0]?.width ?? 0,
      context,
      chats: canChat(tokenizer),
      needs,
      notes: await notesOn(name, model, needs, context),
    };
  } finally {
    model.dispose();
  }
}

const canChat = (
  tokenizer: { chat(messages: readonly { role: string; content: string }[]): string },
): boolean => {
  try {
    return tokenizer.chat([{ role: "user", content: "Hello" }]) !== "";
  } catch {
    return false;
  }
};

async function neededBy(name: string, method: string, context: number): Promise<number> {
  const length = String(Math.min(256, context));
  const words = [
    "finetune",
    "--model",
    name,
    "--method",
    method,
    "--batch-size",
    "1",
    "--max-length",
    length,
  ];
  return (await runPlan([...words, "--backend", "wasm"])).total;
}

async function notesOn(
  name: string,
  model: Model,
  needs: number,
  context: number,
): Promise<readonly string[]> {
  if (!model.spec.stacks.some(({ stack }) => stack === "decoder")) {
    return ["This model writes no answers: it takes labelled texts, and cannot be compared in words."];
  }
  if (needs <= LIMIT) return [];
  const small = await neededBy(name, "qlora", context);
  const room = `a tab's memory holds ${showSize(LIMIT)}`;
  if (small > LIMIT) {
    throw rangeError(
      "OUT_OF_MEMORY",
      `${name} is too large for a tab: a step on one row takes ${showSize(needs)}, by QLoRA ${
        showSize(small)
      }, and ${room}. Nothing was loaded.`,
    );
  }
  return [
    `A step of LoRA takes ${showSize(needs)}, and ${room}: choose QLoRA, which takes ${showSize(small)}.`,
  ];
}

/** Models in the tab's files. */
export function modelsIn({ volume }: Context): readonly string[] {
  const names = [...volume.below("/")].flatMap((path) => {
    if (/^\/(runs|data|tmp)\//.test(path)) return [];
    if (path.endsWith(".gguf")) return [path.slice(1)];
    return path.endsWith("/config.json") ? [path.slice(1, -"/config.json".length)] : [];
  });
  return [...new Set(names)].filter((name) => name !== "embedded");
}
