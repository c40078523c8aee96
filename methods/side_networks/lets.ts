/**
 * LeTS. Fu et al. 2021, "Learn-to-Share: A Hardware-friendly Transfer Learning Framework Exploiting Computation and Parameter
 * Sharing", ICML 2021.
 *
 *   u_l = Block_l( h_{l−1} ; W_l + δ_l )        h the frozen model's states, so that W h is shared by all tasks
 *   v   = max over l of BiLSTM( u_1, …, u_L )    replaces the last states, [d]
 *
 * A task's branch at layer l reads the frozen h_{l−1} and never another branch's output, so no gradient flows
 * into the backbone. δ_l, for the attention's matrices, starts at zero and is pruned by its gradient after a
 * few steps: that is `sparseAdapter({ host: lets(), mask })` with `adapterMask(…, { score: "gradient" })`. A
 * shared layer has no branch: u_l = h_l. A search determines which layers are shared: with `search` each
 * branch has a gate, u_l = σ(a_l) Block_l(…) + (1 − σ(a_l)) h_l, and λ Σ σ(a_l) / L is added to the loss as
 * the cost of computation; `letsLayers` reads the gates.
 *
 * Neither full text nor code is public: abstracts describe the parts. Unspecified details are choices or
 * options: the branch is the whole block with δ on the attention; the LSTM's width is d / 2 per direction, so
 * that the head's input keeps its size; "first" puts the pooled first token at every position, "each" pools
 * every token over its own layers.
 */
import {
  type Adapter,
  type DefinedMethod,
  defineMethod,
  fn,
  fold,
  key as keyOf,
  leaves,
  lookup,
  nest,
  onlyStack,
  read as numbersOf,
  type SideCall,
  type Spec,
  type Tensor,
  type Tree,
} from "../../core/mod.ts";
import { bounded, list, oneOf, option, seed } from "../../core/options/mod.ts";
import {
  add,
  addAll,
  concat,
  expand,
  lstm,
  type LstmLayer,
  max,
  multiply,
  reshape,
  sigmoid,
  slice,
  subtract,
  uniform,
  zeros,
} from "../../ops/mod.ts";
import { freshParams } from "../shared/initial_factors.ts";
import { nonNegative } from "../shared/number_schemas.ts";
import { blockLeaves, lastNorms, read, readLastNorms } from "./side_weights.ts";
import { rangeError, typeError } from "../../errors/error.ts";

/** Options of LeTS. */
export interface LetsOptions {
  /** Blocks with a branch; the others are shared. Default all. */
  readonly layers?: readonly number[] | undefined;
  /** Which matrices of a branch have a δ: the attention's (default), or all of the block. */
  readonly deltas?: "attention" | "block";
  /** What is pooled over the layers: the first token, for classifiers (default), or each token by itself. */
  readonly pool?: "first" | "each";
  /** λ of the search for branches to omit; default: no search. */
  readonly search?: number | undefined;
}

/** What is trained besides the gates. */
type LetsParams = {
  readonly deltas: Tree;
  readonly lstm: LstmLayer;
  readonly gates?: Readonly<Record<string, Tensor>>;
};

/**
 * LeTS as a method, for models with one stack. Parameters: `deltas.<matrix>` in the matrix's layout,
 * `lstm.forward.input.weight`, … as in torch.nn.LSTM, and with `search` `gates.<layer>` [1].
 *
 * @throws {RangeError} when λ is negative, or at init when the model has two stacks, an odd width or no such block.
 * @example
 * ```ts
 * import { lets } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(lets({ layers: [8, 9, 10, 11] }).name, "lets");
 * ```
 */
export const lets: DefinedMethod<LetsOptions> = defineMethod<LetsOptions>({
  name: "lets",
  summary: "Runs pruned copies of the attentions beside the frozen model, and pools their outputs.",
  facts: {
    parameters: "δ of the attention's matrices, BiLSTM",
    "gradient through the base": "none",
    source: "ICML 2021",
  },
  title: "LeTS",
  options: {
    layers: option(bounded(list(seed), "blocks"), "blocks with a branch, by number; by default all"),
    deltas: option(oneOf("attention", "block"), "which matrices of a branch change", "attention"),
    pool: option(
      oneOf("first", "each"),
      "what is pooled over the layers: the first token, or each by itself",
      "first",
    ),
    search: option(nonNegative, "λ of the search for branches to omit; by default no search"),
  },
  create: ({ layers, deltas, pool, search }) => ({
    init: ({ model: { spec, backend }, key }) =>
      freshParams(() => {
        const { width } = onlyStack(spec, "lets");
        if (width % 2 !== 0) {
          throw rangeError("METHOD_DOES_NOT_FIT", `Cannot halve the width ${width} for the LSTM of lets`);
        }
        const [half, seed] = [width / 2, fold(keyOf(key), "lstm")];
        const bound = 1 / Math.sqrt(half);
        const gates = ["forward", "backward"].flatMap((way) =>
          ([["input", width], ["hidden", half]] as const).flatMap(([part, inner]) =>
            ([["weight", [4 * half, inner]], ["bias", [4 * half]]] as const).map(([leaf, shape]) => {
              const path = `${way}.${part}.${leaf}`;
              return [`lstm.${path}`, uniform(fold(seed, path), shape, backend, -bound, bound)] as const;
            })
          )
        );
        const branches = branchesOf(spec, layers, deltas);
        return [
          ...branches.flatMap(({ changed }) =>
            changed.map(({ path, shape }) => [`deltas.${path}`, zeros(shape, backend)] as const)
          ),
          ...gates,
          ...search === undefined
            ? []
            : branches.map(({ layer }) => [`gates.${layer}`, zeros([1], backend)] as const),
        ];
      }),
    edits: (params, spec) => {
      const { path, stack, layers: n } = onlyStack(spec, "lets");
      const branches = new Map(branchesOf(spec, layers, deltas).map((branch) => [branch.layer, branch]));
      const norms = lastNorms(spec);
      const run = (params: LetsParams, call: SideCall): Tensor => {
        const states = Array.from({ length: n }, (_, l) => {
          const branch = branches.get(l);
          return branch === undefined ? call.tap(l) : branched(params, branch, call);
        });
        return call.finish(readLastNorms(call, norms), pooled(states, params.lstm, pool));
      };
      return [{ kind: "side", path, stack, run: fn(params as LetsParams, run) }];
    },
    ...search !== undefined && {
      penalty: (params) => {
        const gates = Object.values(params["gates"] as Readonly<Record<string, Tensor>>).map(sigmoid);
        return reshape(multiply(addAll(gates), search / gates.length), []);
      },
    },
  }),
  cli: {
    rate: 1e-3,
    flags: [],
    // A causal model predicts from every token.
    options: (_, { stacks }) => ({ pool: stacks[0]?.stack === "decoder" ? "each" : "first" }),
  },
  survey: {
    kinds: "A",
    storage: "yes",
    memory: "yes",
    backward: "yes",
    overhead: "Extra FFN",
    differs:
      "the attention's differences are counted before their pruning, and each branch runs a block again",
  },
  published: { setting: "every layer's attention" },
});

/**
 * The branches whose gates are at least one half after a search: `lets({ ...options, layers })` then trains
 * without gates.
 *
 * @throws {TypeError} when the parameters have no gates.
 * @example
 * ```ts
 * import { adapt, freshModel, lets, letsLayers, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const searched = adapt(model, lets({ search: 1e-3 })); // before training all gates stand open
 * assert.deepEqual(await letsLayers(searched), [0, 1]);
 * ```
 */
export async function letsLayers({ params }: Adapter): Promise<readonly number[]> {
  const gates = leaves((params["gates"] ?? {}) as Tree);
  if (gates.length === 0) {
    throw typeError("INVALID_ARGUMENT", "Expected an adapter of lets with a search but found no gates");
  }
  const values = await Promise.all(
    gates.map(async ([layer, a]) => [Number(layer), (await numbersOf(a))[0]!] as const),
  );
  return values.filter(([, a]) => a >= 0).map(([layer]) => layer).sort((a, b) => a - b);
}

/** A layer's branch: the block's leaves, and which of its matrices have a δ. */
interface Branch {
  readonly layer: number;
  readonly path: string;
  readonly leaves: readonly string[];
  readonly changed: readonly { readonly path: string; readonly shape: readonly [number, number] }[];
}

function branchesOf(
  spec: Spec,
  layers: readonly number[] | undefined,
  deltas: "attention" | "block",
): readonly Branch[] {
  const blocks = spec.blocks.filter(({ layer }) => layers === undefined || layers.includes(layer!));
  const missing = layers?.find((layer) => !blocks.some((block) => block.layer === layer));
  if (missing !== undefined) {
    throw rangeError("METHOD_DOES_NOT_FIT", `Cannot place lets: the model has no block ${missing}`);
  }
  return blocks.map((block): Branch => ({
    layer: block.layer!,
    path: block.path,
    leaves: blockLeaves(spec, block),
    changed: spec.linears
      .filter(({ layer, role }) => layer === block.layer && (deltas === "block" || ATTENTION.has(role)))
      .map(({ path, inFeatures, outFeatures, transposed }) => ({
        path: `${path}.weight`,
        shape: transposed ? [inFeatures, outFeatures] : [outFeatures, inFeatures],
      })),
  }));
}

/** Roles of the attention's matrices; BERT's and Llama's output both have the role "output". */
const ATTENTION: ReadonlySet<string> = new Set(["query", "key", "value", "qkv", "output"]);

/** u_l [b, t, d]. */
function branched(params: LetsParams, { layer, path, leaves, changed }: Branch, call: SideCall): Tensor {
  const moved = new Set(changed.map(({ path }) => path));
  const weights = nest(leaves.map((name) => {
    const full = `${path}.${name}`;
    const base = read(call, full);
    return [name, moved.has(full) ? add(base, lookup(params.deltas, full) as Tensor) : base] as const;
  })) as Tree;
  const u = call.block(weights, call.tap(layer - 1), `${layer}`);
  const gate = params.gates?.[layer];
  if (gate === undefined) return u;
  const g = sigmoid(gate);
  return add(multiply(g, u), multiply(subtract(1, g), call.tap(layer)));
}

/** Layers' states [b, t, d] read by the LSTM and their maximum taken: [b, t, d]. */
function pooled(states: readonly Tensor[], layer: LstmLayer, pool: "first" | "each"): Tensor {
  const shape = states[0]!.shape as readonly [number, number, number];
  const [b, t, d] = shape;
  const rows = pool === "first" ? b : b * t;
  const of = (h: Tensor): Tensor => reshape(pool === "first" ? slice(h, 1, 0, 1) : h, [rows, 1, d]);
  const read = lstm([layer], concat(states.map(of), 1)); // [rows, L, d]
  const v = max(read, { axis: 1 }); // [rows, d]
  return pool === "first" ? expand(reshape(v, [b, 1, d]), shape) : reshape(v, shape);
}
