/** The thread of `graft serve` that computes: it loads the model, and answers requests while others wait in the thread of connections. */
import { type Adapter, graft, memory, type Model } from "../../core/mod.ts";
import type { Tokenizer } from "../../formats/tokenizer.ts";
import { advisedSampler } from "../../io/generation_config.ts";
import { localCopy } from "../../io/local_path.ts";
import { checkpointShapes } from "../../io/model_shapes.ts";
import { embeddingForm } from "../../io/embedding_form.ts";
import { embeddedIds, embedderOf, embedTexts } from "../../io/sentence_transformers.ts";
import { contextLength, type Task } from "../../models/mod.ts";
import type { ThisThread } from "../../platform/own_thread.ts";
import { engine } from "../../serve/engine.ts";
import type { VectorMaker } from "../../serve/embeddings.ts";
import { respond } from "../../serve/handler.ts";
import type { Service } from "../../serve/service.ts";
import { UsageError } from "../../tuning/usage_error.ts";
import { localSource, type ModelFlags, type Opened, openModel } from "../load.ts";
import { loadNamed, type NamedAdapter } from "../named_adapters.ts";
import { answerBy } from "./relay.ts";

/** What the thread needs to know. */
export interface Serving extends ModelFlags {
  readonly model: string;
  /** The bare model's name. */
  readonly base: string;
  readonly adapters: readonly NamedAdapter[];
  readonly rows: number;
  readonly queue: number;
  readonly maxLength?: number;
  readonly maxTokens: number;
  readonly maxBody: number;
  readonly exact?: true;
}

/** What the thread says when it is ready. */
export interface Ready {
  readonly kind: "ready";
  readonly models: readonly string[];
  readonly maxLength: number;
  /** Bytes of the model and its adapters. */
  readonly bytes: number;
}

/** See the module's comment. Errors are those of loading. */
export async function serveHere(thread: ThisThread): Promise<void> {
  const serving = thread.data as Serving;
  const task = vectorTask(await localSource(serving.model));
  const opened = await openModel(serving, task && { task });
  try {
    const adapters = await loadNamed(serving.adapters, opened, serving);
    await answerWith(thread, serving, opened, adapters);
  } catch (error) {
    opened.close();
    throw error;
  }
}

async function answerWith(
  thread: ThisThread,
  { model: source, base, rows, queue, maxTokens, maxBody, maxLength: asked, exact }: Serving,
  { base: model, backend, close }: Opened,
  adapters: Readonly<Record<string, Adapter>>,
): Promise<void> {
  model.tokenizer.encode(""); // throws here if the model has no tokenizer
  const context = contextLength(model);
  const maxLength = asked ?? Math.min(context, 1 << 20);
  if (maxLength > context) {
    throw new UsageError(
      `Expected --max-length of at most ${context}, the model's context, but found ${maxLength}`,
    );
  }
  const local = await localCopy(source) ?? source;
  const sampler = advisedSampler(local);
  const running = decodes(model)
    ? engine(model, { adapters, rows, queue, roundInputs: exact !== true })
    : undefined;
  const names = Object.keys(adapters);
  let stopping = false;
  const service: Service = {
    model,
    vectors: await vectorsOf(model, adapters),
    ...running && { engine: running },
    base,
    adapters: names,
    maxLength,
    maxTokens,
    ...sampler && { sampler },
    maxBytes: maxBody,
    began: now(),
    now,
    seed: () => crypto.getRandomValues(new Uint32Array(1))[0]!,
    id: () => crypto.randomUUID().replaceAll("-", ""),
    stopping: () => stopping,
  };
  answerBy(thread, (request) => respond(service, request), {
    load: () => running?.load ?? { waiting: 0, writing: 0 },
    stopping: () => void (stopping = true),
    close: async () => {
      await running?.close();
      close();
    },
  });
  const ready: Ready = { kind: "ready", models: [base, ...names], maxLength, bytes: memory(backend).live };
  thread.post(ready);
}

/** Whether a model writes texts. */
const decodes = ({ spec }: Pick<Model, "spec">): boolean =>
  spec.stacks.some(({ stack }) => stack === "decoder");

/** An encoder is loaded without the head that it was trained with. */
function vectorTask(source: string): Task | undefined {
  const shapes = checkpointShapes(source);
  const { spec } = shapes;
  shapes.dispose();
  return !decodes({ spec }) && spec.heads.length > 0 ? { kind: "embed" } : undefined;
}

/** Vectors as the model's folder says; else of the last token's state, of encoders of the mean. */
async function vectorsOf(
  model: Model<Tokenizer>,
  adapters: Readonly<Record<string, Adapter>>,
): Promise<VectorMaker> {
  const form = await embeddingForm(await localCopy(model.source ?? "") ?? "");
  return {
    embed: async (texts, adapter) => {
      const tuned = adapter === null ? model : graft(model, adapters[adapter]!);
      const embedder = embedderOf(tuned, { pooling: decodes(model) ? "last" : "mean", ...form });
      const tokens = texts.reduce((sum, text) => sum + embeddedIds(embedder, text).length, 0);
      return { vectors: await embedTexts(embedder, texts), tokens };
    },
  };
}

/** Seconds since 1970. */
const now = (): number => Math.floor(Date.now() / 1000);
