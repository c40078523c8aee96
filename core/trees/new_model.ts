/** Creating a model from weights. */
import { type Backend, isQuantized, keep, Tensor } from "../../tensor/mod.ts";
import type { Architecture, Model, ModelConfig, TextCodec } from "./model.ts";
import type { Spec } from "../edits/place.ts";
import { type Branch, lookup, weightTree } from "./weights.ts";
import { failure, rangeError } from "../../errors/error.ts";

/** The parts of a model. */
export interface ModelParts<C extends TextCodec> {
  /** The forward pass. */
  readonly architecture: Architecture;
  /** The places it offers. */
  readonly spec: Spec;
  /** The checkpoint's `config.json`. */
  readonly config: ModelConfig;
  /** Leaves by the checkpoint's names. */
  readonly weights: Iterable<readonly [path: string, leaf: Tensor]>;
  /** Where it computes. */
  readonly backend: Backend;
  /** Text to ids and back. */
  readonly tokenizer?: C;
  /** Where it came from, for records. */
  readonly source?: string;
}

/**
 * A model that owns its weights. Heads tied to an embedding get an empty branch, so that edits can be grafted
 * there.
 *
 * @throws {RangeError} when weights are missing that the spec's places need.
 * @example
 * ```ts
 * import { newModel, reference, smallConfig } from "@graft/peft";
 * import { architectureOf, freshWeights } from "@graft/peft/models";
 * import assert from "node:assert/strict";
 * const [backend, config] = [reference(), smallConfig("llama")];
 * const { architecture, spec } = architectureOf(config);
 * const weights = freshWeights(spec, () => true, { backend, key: 0 });
 * const model = newModel({ architecture, spec, config, weights, backend });
 * assert.equal(model.spec.linears.length, 14); // seven in each layer
 * model.dispose(); // frees its weights
 * ```
 */
export function newModel<C extends TextCodec>(parts: ModelParts<C>): Model<C> {
  const { architecture, spec, config, backend } = parts;
  const weights = withHeads(weightTree(parts.weights), spec);
  checkShapes(weights, spec, parts.source);
  const root = keep(weights);
  return {
    architecture,
    spec,
    config,
    backend,
    weights,
    ...parts.source !== undefined && { source: parts.source },
    tokenizer: parts.tokenizer ?? missing(parts.source) as C,
    dispose: () => root.dispose(),
  };
}

function withHeads(weights: Branch, spec: Spec): Branch {
  return spec.heads.reduce<Branch>(
    (tree, head) =>
      lookup(tree, head.path) === undefined && head.tiedTo !== undefined
        ? withBranch(tree, head.path.split("."))
        : tree,
    weights,
  );
}

function withBranch(tree: Branch, [name, ...rest]: readonly string[]): Branch {
  if (name === undefined) return tree;
  const child = tree[name] ?? {};
  if (child instanceof Tensor) {
    throw rangeError("CHECKPOINT_INVALID", `The head's path goes through the leaf "${name}"`);
  }
  return { ...tree, [name]: withBranch(child, rest) };
}

function checkShapes(weights: Branch, spec: Spec, source: string | undefined): void {
  const named = source === undefined ? "" : ` "${source}"`;
  const expect = (path: string, shape: readonly number[]): void => {
    const leaf = lookup(weights, path);
    if (leaf === undefined || !("shape" in leaf)) {
      throw rangeError("CHECKPOINT_INVALID", `The checkpoint${named} has no tensor "${path}"`);
    }
    const found = leaf.shape as readonly number[];
    if (found.length !== shape.length || found.some((n, i) => n !== shape[i])) {
      throw rangeError(
        "CHECKPOINT_INVALID",
        `${path}: expected [${shape.join(", ")}] but found [${found.join(", ")}]${named && ` in${named}`}`,
      );
    }
  };
  for (const place of spec.linears) {
    const { inFeatures: n, outFeatures: m } = place;
    const leaf = lookup(weights, `${place.path}.weight`);
    const quantized = leaf instanceof Tensor && isQuantized(leaf.dtype);
    expect(`${place.path}.weight`, place.transposed && !quantized ? [n, m] : [m, n]);
    if (place.bias) expect(`${place.path}.bias`, [m]);
  }
  for (const place of spec.norms) {
    expect(`${place.path}.weight`, [place.width]);
    if (place.bias) expect(`${place.path}.bias`, [place.width]);
  }
  for (const place of spec.embeddings) expect(`${place.path}.weight`, [place.rows, place.width]);
  for (const place of spec.heads) {
    if (place.tiedTo === undefined) expect(`${place.path}.weight`, [place.outFeatures, place.inFeatures]);
    if (place.bias) expect(`${place.path}.bias`, [place.outFeatures]);
  }
}

/** Placeholder when a checkpoint has no tokenizer; throws when used. */
function missing(source: string | undefined): TextCodec {
  const refuse = (): never => {
    throw failure(
      "TOKENIZER_UNSUPPORTED",
      `The model${source ? ` "${source}"` : ""} has no tokenizer: put tokenizer.json beside its weights`,
    );
  };
  return { encode: refuse, decode: refuse };
}
