/** What every notebook starts from: the embedded model on the WASM backend, and conversations with their summaries. */
import { fileURLToPath } from "node:url";
import { padOf } from "../cli/finetune/evaluation.ts";
import { type Backend, fold, key, type Model } from "../core/mod.ts";
import { conversation } from "../embedded/conversations/mod.ts";
import type { Tokenizer } from "../formats/tokenizer.ts";
import { loadModel } from "../io/load_model.ts";
import { wasm } from "../ops/wasm/mod.ts";
import { examplesOf, pickRows, type Rows, rowsOf } from "../train/mod.ts";

/** How much data to make. */
export interface WorkshopOptions {
  /** Conversations to train on, default 384. */
  readonly train?: number;
  /** Conversations to measure on, default 24. */
  readonly heldOut?: number;
  /** Longer conversations are left out, default 264 tokens. */
  readonly maxTokens?: number;
  readonly seed?: number;
}

/** A model with data. */
export interface Workshop {
  readonly backend: Backend;
  readonly model: Model<Tokenizer>;
  readonly train: Rows;
  readonly heldOut: Rows;
  /** Of a held-out row, what the desk said and what a person would note down. */
  text(n: number): { readonly dialogue: string; readonly summary: string };
  /** The token to pad with. */
  readonly pad: number;
  /** Ends the backend's threads. */
  close(): void;
}

/** Loads the model and makes the data: the same for the same options, and none of it seen in pretraining. */
export async function openWorkshop(options: WorkshopOptions = {}): Promise<Workshop> {
  const { train = 384, heldOut = 24, maxTokens = 264, seed = 0 } = options;
  const backend = await wasm();
  const model = await loadModel(fileURLToPath(new URL("../embedded/model", import.meta.url)), { backend });
  const from = fold(key(seed), "compare"); // as `graft compare`
  const texts = Array.from({ length: 2 * (train + heldOut) }, (_, i) => conversation(from, i));
  const rows = rowsOf(
    {
      count: texts.length,
      example: (n) => {
        const { dialogue, summary } = texts[n]!;
        const record = { file: "conversations", line: n + 1, value: { dialogue, summary } };
        return examplesOf(record, "dialogue/summary")[0]!;
      },
      [Symbol.dispose]: () => {},
    },
    model.tokenizer,
    { maxLength: 512, longPrompt: "refuse" },
  );
  const short = texts.map((_, n) => n).filter((n) => rows.lengths[n]! <= maxTokens);
  if (short.length < train + heldOut) {
    throw new RangeError(
      `Cannot find ${
        train + heldOut
      } conversations of at most ${maxTokens} tokens: there are ${short.length}`,
    );
  }
  const aside = short.slice(0, heldOut);
  return {
    backend,
    model,
    train: pickRows(rows, short.slice(heldOut, heldOut + train)),
    heldOut: pickRows(rows, aside),
    text: (n) => texts[aside[n]!]!,
    pad: padOf(model.tokenizer),
    close: () => backend.close(),
  };
}
