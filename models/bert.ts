/**
 * BERT (arXiv 1810.04805) and RoBERTa (1907.11692): post-norm blocks that see a whole text at once.
 *
 *   x ← LayerNorm( word(ids) + position + type )
 *   x ← LayerNorm( x + o( attend( q(x), k(x), v(x) ) ) )
 *   x ← LayerNorm( x + down( gelu( up(x) ) ) )
 *
 * Heads: a class or score of the text from its first token, BERT w tanh(p x₀), RoBERTa w tanh(d x₀) under
 * another name; a tag of each token, w x; the masked word, word(LayerNorm(gelu(d x)))ᵀ + b; or none, and
 * `embed` pools the states.
 *
 * RoBERTa's positions start after its padding id and skip padding. The dropout rates in the config are not
 * applied, since the base is not trained.
 */
import {
  type Architecture,
  attention,
  type Batch,
  embedding,
  hidden,
  into,
  linear,
  type Model,
  type Pass,
  rootOf,
  type Site,
  type Tensor,
  vector,
  weightPass,
} from "../core/mod.ts";
import { add, integers, layerNorm, reshape, slice, tanh } from "../ops/mod.ts";
import { barePass } from "./bare_pass.ts";
import { type BertConfig, bertConfig } from "./bert_config.ts";
import { headPaths } from "./bert_spec.ts";
import { classLabels } from "./classes.ts";
import { childSite, joined } from "./site.ts";
import { type StackParts, stackStates } from "./stack.ts";
import { vocabularyLogits } from "./vocabulary_logits.ts";
import { rangeError, typeError } from "../errors/error.ts";

function normAt(site: Site, x: Tensor, c: BertConfig): Tensor {
  return layerNorm(x, vector(site, "weight"), vector(site, "bias"), c.epsilon);
}

function attentionPart(pass: Pass, site: Site, x: Tensor, c: BertConfig): Tensor {
  const at = into(site, "self");
  const part = (name: string, x: Tensor): Tensor => {
    const y = linear(pass, into(at, name), x);
    return reshape(y, [y.shape[0]!, y.shape[1]!, c.heads, -1]); // [b, t, h, d]
  };
  const project = (states: Tensor) => ({ k: part("key", states), v: part("value", states) });
  const q = part("query", x);
  const y = attention(pass, at, { x, q, ...project(x), project }, {});
  return linear(pass, into(site, "output", "dense"), reshape(y, [q.shape[0]!, q.shape[1]!, -1]));
}

function feedForwardPart(pass: Pass, site: Site, x: Tensor, c: BertConfig): Tensor {
  return linear(
    pass,
    into(site, "output", "dense"),
    c.activation(linear(pass, into(site, "intermediate", "dense"), x)),
  );
}

function block(pass: Pass, site: Site, input: Tensor, c: BertConfig): Tensor {
  const sublayer = (at: Site, x: Tensor, y: Tensor): Tensor => {
    const norm = (t: Tensor): Tensor => normAt(into(at, "LayerNorm"), t, c);
    return norm(add(x, hidden(pass, at, { x, skip: x, norm }, y)));
  };
  const x = sublayer(
    into(site, "attention", "output"),
    input,
    attentionPart(pass, into(site, "attention"), input, c),
  );
  const y = sublayer(into(site, "output"), x, feedForwardPart(pass, site, x, c));
  return hidden(pass, site, { x: input, skip: undefined }, y);
}

/** x [b, prompts + t, d] plus positions and types, normed. */
function entered(
  pass: Pass,
  root: Site,
  x: Tensor,
  positions: readonly (readonly number[])[],
  batch: Batch,
  c: BertConfig,
): Tensor {
  const site = childSite(root, joined(c.tower, "embeddings"));
  const rows = (name: string, ids: readonly (readonly number[])[]): Tensor =>
    embedding(pass, into(site, name), integers(ids.flat(), x.backend, [ids.length, ids[0]!.length]));
  const length = positions[0]!.length;
  const types = (batch.tokenTypeIds ?? [[]]).map((
    row,
  ) => [...new Array<number>(length - row.length).fill(0), ...row]);
  const bad = types.flat().find((type) => !(type >= 0 && type < c.types));
  if (bad !== undefined) {
    throw rangeError("INVALID_BATCH", `Expected token types from 0 to ${c.types - 1} but found ${bad}`);
  }
  const at = positions.map((row) => row.map((p) => p + c.firstPosition));
  const sum = add(add(x, rows("token_type_embeddings", types)), rows("position_embeddings", at));
  return hidden(pass, site, { x: sum, skip: undefined }, normAt(into(site, "LayerNorm"), sum, c));
}

function parts(batch: Batch, c: BertConfig): StackParts<undefined> {
  return {
    stack: c.tower,
    blocks: "encoder.layer",
    layers: c.layers,
    vocabulary: c.vocabulary,
    context: c.positions - c.firstPosition,
    // The head reads the first row, which belongs to the prompt if there is one, as in PEFT and adapters.
    prompts: c.head === "text" ? "kept" : "cut",
    embed: (pass, root, ids) =>
      embedding(pass, childSite(root, joined(c.tower, "embeddings.word_embeddings")), ids),
    position: (pass, root, x, positions) => entered(pass, root, x, positions, batch, c),
    block: (pass, site, x) => block(pass, site, x, c),
  };
}

/** RoBERTa counts the tokens that are not padding; padding is at position −1. */
function positioned(batch: Batch, { family, pad }: BertConfig): Batch {
  const counts = family === "roberta" && batch.positionIds === undefined &&
    batch.inputIds.some((row) => row.includes(pad));
  if (!counts) return batch;
  const positionIds = batch.inputIds.map((row) => {
    let next = 0;
    return row.map((id) => id === pad ? -1 : next++);
  });
  return { ...batch, positionIds };
}

/**
 * BERT and RoBERTa.
 *
 * @example
 * ```ts
 * import { freshModel, reference, smallConfig } from "@graft/peft";
 * import { bert, taskConfig } from "@graft/peft/models";
 * import assert from "node:assert/strict";
 * const config = taskConfig(smallConfig("bert"), { kind: "tag", names: ["O", "PERSON"] });
 * const model = freshModel(config, { backend: reference(), key: 0 });
 * const { states } = bert.states(model, { inputIds: [[1, 2, 3]] }, {});
 * assert.deepEqual(bert.head(model, states, {}).shape, [1, 3, 2]); // scores of each token
 * assert.equal(bert.labels(model), "token");
 * ```
 */
export const bert: Architecture = {
  name: "bert",
  states: (model, batch, options) => {
    const c = bertConfig(model.config);
    const { states, cache } = stackStates(model, positioned(batch, c), options, parts(batch, c));
    const [b, , d] = states.shape as [number, number, number];
    return { states: c.head === "text" ? reshape(slice(states, 1, 0, 1), [b, d]) : states, cache };
  },
  head: (model, states, options) => {
    const c = bertConfig(model.config);
    const { dense = "", norm = "", out = "" } = headPaths(c);
    const root = rootOf(model.weights, weightPass(options));
    const pass = barePass(model, options);
    switch (c.head) {
      case "none":
        return states;
      case "token":
        return linear(pass, childSite(root, out), states);
      case "text":
        return linear(pass, childSite(root, out), tanh(linear(pass, childSite(root, dense), states)));
      case "mask": {
        const x = normAt(
          childSite(root, norm),
          c.activation(linear(pass, childSite(root, dense), states)),
          c,
        );
        return vocabularyLogits(model, x, options, {
          head: out,
          table: joined(c.tower, "embeddings.word_embeddings"),
        });
      }
      default:
        return c.head satisfies never;
    }
  },
  labels: (model: Model) => {
    const c = bertConfig(model.config);
    if (c.head === "none") {
      throw typeError(
        "INVALID_BATCH",
        `Cannot take a loss of ${model.config.model_type}: it has no head; load the model with a task`,
      );
    }
    return c.head === "text" ? classLabels(model.config) : "token";
  },
};
