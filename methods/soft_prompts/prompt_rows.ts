/** Shared by the soft prompt methods: where prompts are placed, and how their rows are initialized. */
import {
  bitsAt,
  fold,
  type Key,
  lookup,
  type Model,
  type Spec,
  type StackPlace,
  Tensor,
} from "../../core/mod.ts";
import { concat, gatherRows, integers, mean, uniform } from "../../ops/mod.ts";
import { rangeError } from "../../errors/error.ts";

/**
 * Where a prompt is placed: before the text; before the text or after its first token where it enters the
 * blocks, without positions and the embeddings' norm (AdapterHub's BERT); or in place of the tokens with a
 * given id (see `withSlots`).
 */
export type PromptPosition = "front" | "entered" | "afterFirst" | { readonly token: number };

/** A prompt's parameters: rows [n, d]. */
export type PromptParams = { readonly rows: Tensor };

/** Initialization of a prompt's rows. Ids are the model's token ids. */
export type PromptStart =
  /**
   * Uniform from `low` up to `high`: the paper's text says ±0.5 (default), its released settings 0 to 0.5.
   */
  | { readonly from: "uniform"; readonly low?: number; readonly high?: number }
  /**
   * Rows of the token table drawn at random from its first `tokens`, the most frequent ones in many
   * vocabularies; default 5000.
   */
  | { readonly from: "vocabulary"; readonly tokens?: number }
  /**
   * A row for each list of ids, the mean of their embeddings: a class label, or one token of a text.
   * Remaining rows are drawn from the vocabulary, or the list is repeated (PEFT's rule for texts).
   */
  | {
    readonly from: "tokens";
    readonly rows: readonly (readonly number[])[];
    readonly rest?: "sampled" | "repeated";
  };

/**
 * Where a prompt is inserted: the entrance of the encoder, or of the only stack. @throws {RangeError} when
 * there is no stack.
 */
export function promptStack(spec: Spec, method: string): StackPlace {
  const stack = spec.stacks.find((place) => place.stack === "encoder") ?? spec.stacks[0];
  if (stack === undefined) {
    throw rangeError("METHOD_DOES_NOT_FIT", `Cannot place ${method}: the model offers no stack`);
  }
  return stack;
}

/** Initial rows [n, width] of a prompt. */
export function promptStart(
  model: Model,
  key: Key,
  n: number,
  start: PromptStart,
  method: string,
): Tensor {
  if (start.from === "uniform") {
    const { low = -0.5, high = 0.5 } = start;
    return uniform(key, [n, promptStack(model.spec, method).width], model.backend, low, high);
  }
  const table = tokenTable(model, method);
  if (start.from === "vocabulary") return sampled(table, key, n, start.tokens ?? 5000);
  const { rows, rest = "sampled" } = start;
  const given = Array.from(
    { length: rest === "repeated" ? n : Math.min(n, rows.length) },
    (_, i) => mean(embedded(table, rows[i % rows.length]!), { axis: 0, keepAxes: true }),
  );
  const left = n - given.length;
  return concat(left > 0 ? [...given, sampled(table, key, left, 5000)] : given, 0);
}

function tokenTable({ spec, weights }: Model, method: string): Tensor {
  const place = spec.embeddings.find((place) => place.role === "token");
  const table = place && lookup(weights, `${place.path}.weight`);
  if (!(table instanceof Tensor)) {
    throw rangeError(
      "METHOD_DOES_NOT_FIT",
      `Cannot start ${method} from token embeddings: the model offers no table of them`,
    );
  }
  return table;
}

/** Rows [ids, width] of a table of any dtype. */
function embedded(table: Tensor, ids: readonly number[]): Tensor {
  const bad = ids.find((id) => !(Number.isInteger(id) && id >= 0 && id < table.shape[0]!));
  if (bad !== undefined) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Expected token ids from 0 to ${table.shape[0]! - 1} but a prompt starts from ${bad}`,
    );
  }
  return gatherRows(table, integers(ids, table.backend));
}

/** Drawn with replacement. */
function sampled(table: Tensor, key: Key, n: number, tokens: number): Tensor {
  const among = Math.min(tokens, table.shape[0]!);
  const draws = fold(key, "vocabulary");
  return embedded(table, Array.from({ length: n }, (_, i) => Math.floor(bitsAt(draws, i) / 2 ** 32 * among)));
}
