/** The model before and after: the same prompt, with the adapter at a scale. */
import { type Adapter, type Backend, dispose, generate, graft, type Model, scaled } from "../../core/mod.ts";
import type { Tokenizer } from "../../formats/tokenizer.ts";
import { loadAdapter } from "../../io/load_adapter.ts";
import { loadModel } from "../../io/load_model.ts";
import { encodeExample, examplesOf, IGNORED, type RecordShape, shapeOf } from "../../train/mod.ts";
import { contextLength } from "../../models/mod.ts";
import { openBackend } from "../../cli/load.ts";
import type { RunSettings } from "../protocol.ts";
import { recordOf } from "./data.ts";

/** A model and its adapter, loaded until another run begins. */
export interface Comparison {
  readonly settings: RunSettings;
  readonly backend: Backend;
  readonly model: Model<Tokenizer>;
  readonly adapter: Adapter;
  close(): void;
}

/** Loads both. */
export async function openComparison(settings: RunSettings): Promise<Comparison> {
  const backend = await openBackend({ backend: settings.backend, threads: settings.threads });
  try {
    const model = await loadModel(settings.model, { backend });
    const adapter = await loadAdapter(settings.output, model);
    return { settings, backend, model, adapter, close: () => backend.close() };
  } catch (error) {
    backend.close();
    throw error;
  }
}

/** A prompt's tokens as training has them before an answer. */
export function promptIds(
  prompt: string,
  shape: RecordShape,
  tokenizer: Tokenizer,
  maxLength: number,
): readonly number[] {
  const record = { file: "prompt", line: 1, value: recordOf(prompt, shape) };
  const [example] = examplesOf(record, shapeOf(record));
  const { inputIds, labels } = encodeExample(example!, tokenizer, {
    maxLength,
    longPrompt: { keep: "tail" },
  });
  const answer = labels.findIndex((label) => label !== IGNORED);
  return inputIds.slice(0, answer);
}

/** What the model writes without the adapter and with it. */
export async function compareTexts(
  { model, adapter }: Comparison,
  asked: {
    readonly prompt: string;
    readonly shape: RecordShape;
    readonly scale: number;
    readonly tokens: number;
  },
  said: (side: "before" | "after", text: string) => void,
): Promise<{ readonly before: string; readonly after: string }> {
  const context = contextLength(model);
  const maxNewTokens = Math.min(asked.tokens, Math.floor(context / 2));
  const ids = promptIds(asked.prompt, asked.shape, model.tokenizer, context - maxNewTokens);
  const write = (side: "before" | "after", of: Model): Promise<string> =>
    generate(of, ids, { maxNewTokens, onToken: ({ text }) => said(side, text) });
  const before = await write("before", model);
  const tuned = graft(model, { ...adapter, method: scaled(adapter.method, asked.scale) });
  try {
    return { before, after: await write("after", tuned) };
  } finally {
    tuned.dispose();
  }
}

/** Frees what was loaded. */
export function closeComparison(open: Comparison | undefined): void {
  if (open === undefined) return;
  dispose(open.adapter.params);
  open.close();
}
