/** What a run trains for: `--objective` and what goes with it. */
import type { Model } from "../../core/mod.ts";
import type { Tokenizer } from "../../formats/tokenizer.ts";
import {
  cosent,
  distill,
  dpo,
  type Objective,
  orpo,
  ranking,
  reward,
  triplet,
  type VectorsOf,
} from "../../train/mod.ts";
import { UsageError } from "../../tuning/usage_error.ts";
import { type DtypeFlags, dtypeOf, localSource } from "../load.ts";
import { modelSource } from "../model_source.ts";
import { loadModel } from "../../io/load_model.ts";
import { localCopy } from "../../io/local_path.ts";
import { embeddingForm } from "../../io/embedding_form.ts";
import { embedBatch, type Embedder, embedderOf } from "../../io/sentence_transformers.ts";
import { isEmbedding, isPreference, type ObjectiveFlags } from "./objective_flags.ts";
import { rangeError } from "../../errors/error.ts";

/** The flags that belong to each objective. */
const OWN: Readonly<Record<string, readonly (keyof ObjectiveFlags)[]>> = {
  dpo: ["beta", "pairLoss"],
  ipo: ["beta"],
  orpo: ["beta"],
  reward: ["center"],
  distill: ["teacher", "teacherPrompt", "temperature", "divergence"],
  ranking: ["symmetric", "pooling"],
  triplet: ["margin", "pooling"],
  cosent: ["pooling"],
};

/** What says what is trained for. */
export interface AimFlags extends ObjectiveFlags, DtypeFlags {
  readonly labelSmoothing?: number;
  readonly packing?: true;
}

/** @throws {UsageError} on a flag of another objective, or one that is missing. */
export function checkObjective(flags: AimFlags): void {
  const { objective = "sft" } = flags;
  for (const [name, own] of Object.entries(OWN)) {
    const foreign = own.find((flag) => flags[flag] !== undefined && !(OWN[objective] ?? []).includes(flag));
    if (foreign !== undefined) {
      const shown = foreign.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
      throw new UsageError(`Expected --objective ${name} with --${shown} but found ${objective}`);
    }
  }
  if (objective === "distill" && flags.teacher === undefined && flags.teacherPrompt === undefined) {
    throw new UsageError(
      "Expected --teacher with --objective distill: a larger model of the same vocabulary, or --teacher-prompt: " +
        "a text that the base sees and the adapter is to stand for",
    );
  }
  if ((isPreference(flags) || isEmbedding(flags)) && flags.packing === true) {
    throw new UsageError(
      `Cannot pack texts that are compared: leave out --packing with --objective ${objective}`,
    );
  }
}

/** An objective with what it holds. */
export interface Aim extends Disposable {
  readonly objective: Objective;
}

/** The objective that flags name; undefined for supervised fine-tuning, which the loop knows. */
export async function aimOf(flags: AimFlags, model: Model<Tokenizer>): Promise<Aim | undefined> {
  const { objective = "sft", beta, labelSmoothing = 0 } = flags;
  const strength = beta === undefined ? {} : { beta };
  const plain = (objective: Objective): Aim => ({ objective, [Symbol.dispose]: () => {} });
  switch (objective) {
    case "sft":
      return undefined;
    case "dpo":
      return plain(dpo({ ...strength, labelSmoothing, ...flags.pairLoss && { loss: flags.pairLoss } }));
    case "ipo":
      return plain(dpo({ ...strength, loss: "ipo" }));
    case "orpo":
      return plain(orpo(strength));
    case "reward":
      return plain(reward(flags.center === undefined ? {} : { center: flags.center }));
    case "distill":
      return await distillation(flags, model);
    case "ranking":
      return plain(ranking({ vectors: await vectorsOf(flags, model), symmetric: flags.symmetric ?? false }));
    case "triplet":
      return plain(triplet({
        vectors: await vectorsOf(flags, model),
        ...flags.margin !== undefined && { margin: flags.margin },
      }));
    case "cosent":
      return plain(cosent({ vectors: await vectorsOf(flags, model) }));
    default:
      return objective satisfies never;
  }
}

/** How the model's folder makes vectors, or the flags. */
export async function embedderFor(flags: ObjectiveFlags, model: Model<Tokenizer>): Promise<Embedder> {
  const { source = "" } = model;
  const form = await embeddingForm(await localCopy(source) ?? source);
  const decodes = model.spec.stacks.some(({ stack }) => stack === "decoder");
  return embedderOf(model, {
    pooling: decodes ? "last" : "mean",
    ...form,
    ...flags.pooling && { pooling: flags.pooling },
  });
}

async function vectorsOf(flags: ObjectiveFlags, model: Model<Tokenizer>): Promise<VectorsOf> {
  const embedder = await embedderFor(flags, model);
  return (tuned, batch, options) =>
    embedBatch({ ...embedder, model: tuned as Model<Tokenizer> }, batch, options);
}

async function distillation(flags: AimFlags, model: Model<Tokenizer>): Promise<Aim> {
  const { teacher, teacherPrompt, temperature, divergence } = flags;
  const options = {
    ...teacherPrompt !== undefined && { prompt: model.tokenizer.encode(teacherPrompt) },
    ...temperature !== undefined && { temperature },
    ...divergence && { direction: divergence },
  };
  if (teacher === undefined) return { objective: distill(options), [Symbol.dispose]: () => {} };
  const source = await localSource(await modelSource({ model: teacher }));
  const taught = await loadModel(source, { backend: model.backend, ...dtypeOf(flags) });
  try {
    checkVocabulary(teacher, taught.tokenizer, model.tokenizer);
  } catch (error) {
    taught.dispose();
    throw error;
  }
  return { objective: distill({ ...options, teacher: taught }), [Symbol.dispose]: () => taught.dispose() };
}

/** @throws {RangeError} naming the first token that differs. */
function checkVocabulary(name: string, teacher: Tokenizer, own: Tokenizer): void {
  const most = Math.max(teacher.vocabSize, own.vocabSize);
  for (let id = 0; id < most; id++) {
    const [theirs, ours] = [teacher.token(id), own.token(id)];
    if (theirs === ours) continue;
    const shown = (token: string | undefined): string =>
      token === undefined ? "nothing" : JSON.stringify(token);
    throw rangeError(
      "INVALID_ARGUMENT",
      `Cannot distill from ${name}: its vocabulary is another one; token ${id} is ${
        shown(theirs)
      } there and ${shown(ours)} here`,
    );
  }
}
