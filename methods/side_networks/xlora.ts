/**
 * X-LoRA. Buehler and Buehler 2024, "X-LoRA: Mixture of low-rank adapter experts", arXiv 2402.07148, section 2.
 *
 *   pass 1  H = base(ids), untracked [b, t, d]      λ = softmax(router(H) / τ) over the K experts [b, t, layers, K]
 *   pass 2  y = W x + γ Σ_k λ_k s_k B_k A_k drop(x)
 *
 * The router is a linear layer, or `depth` of them with ReLU and dropout between. Top-k is applied to each
 * token's softmax and keeps the weights as they are, or applies a softmax to those chosen (PEFT's form; the
 * authors' code normalises over all tokens at once). The experts may be any adapters that add linear maps.
 * With a cache, pass 1 has its own cache.
 */
import {
  adapt,
  type Adapter,
  type Edit,
  fn,
  fold,
  key as keyOf,
  type LinearMap,
  type Method,
  type MethodDefinition,
  methodsOf,
  nest,
  onlyStack,
  type PrepassCall,
  scope,
  type Spec,
  type Synchronous,
  type Tensor,
  type Tree,
  under,
} from "../../core/mod.ts";
import {
  any,
  bounded,
  checkOptions,
  count,
  number,
  oneOf,
  option,
  positive,
  probability,
  text,
} from "../../core/options/mod.ts";
import { addAll, dropout, multiply, relu, reshape, slice } from "../../ops/mod.ts";
import { type Affine, affine, freshAffine } from "../shared/affine.ts";
import { foldersOf, foldersSchema, freeAll, loadAll } from "../shared/sources.ts";
import { lora } from "../low_rank/lora.ts";
import { expertShares, type ShareOptions } from "../shared/expert_shares.ts";
import { rangeError } from "../../errors/error.ts";

/** Options of X-LoRA. */
export interface XloraOptions extends ShareOptions {
  /** The trained adapters to mix, by name; each edit must add a linear map. */
  readonly experts: Readonly<Record<string, Adapter>>;
  /** Linear layers of the router, default 1. */
  readonly depth?: number;
  /** Width between them, default 2048. */
  readonly size?: number;
  /** Dropout between them, default 0.2. */
  readonly dropout?: number;
  /** One λ for all layers ("shared", default) or one for each adapted layer. */
  readonly routes?: "shared" | "layerwise";
  /** γ, default 1. */
  readonly scale?: number;
  /** Which parameters are trained: the router alone (default), or the experts as well. */
  readonly trains?: "router" | "all";
  /** Distinguishes two X-LoRAs on one model. Default "xlora". */
  readonly signal?: string;
}

/**
 * X-LoRA as a method. Parameters: `router.0.weight`, `router.0.bias`, … and the experts' own under
 * `frozen.experts.<name>`, or under `experts.<name>` when they are trained.
 *
 * @throws {RangeError} when there are no experts or a number is out of range; at `edits`, when an expert does
 * more than add linear maps.
 * @example
 * ```ts
 * import { adapt, count, freshModel, lora, reference, smallConfig, xlora } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const expert = (seed: number) => adapt(model, lora({ rank: 2, initialization: "none" }), seed);
 * const adapter = adapt(model, xlora({ experts: { law: expert(1), code: expert(2) } }));
 * // One layer of a router from states to two weights.
 * assert.equal(count(model, adapter).trainable, 16 * 2 + 2);
 * ```
 */
export function xlora(options: XloraOptions): Method {
  const names = Object.keys(options.experts);
  check(options, names.length);
  const { depth = 1, size = 2048, trains = "router", routes = "shared", signal = "xlora" } = options;
  const { experts: _, ...numbers } = options;
  return {
    definition: xloraDefinition,
    name: "xlora",
    config: numbers,
    components: methodsOf(options.experts),
    init: ({ model, key }) =>
      scope((): Synchronous<Tree> => {
        const params = Object.fromEntries(names.map((name) => [name, options.experts[name]!.params]));
        const layers = routes === "layerwise" ? mixed(names, params, model.spec, options).length : 1;
        const width = onlyStack(model.spec, "xlora").width;
        const sizes = [width, ...Array.from({ length: depth - 1 }, () => size), layers * names.length];
        const router = sizes.slice(1).flatMap((out, i) =>
          under(`${i}`, freshAffine(fold(keyOf(key), i), out, sizes[i]!, model.backend))
        );
        const kept: Tree = trains === "all" ? { experts: params } : { frozen: { experts: params } };
        return { router: nest(router) as Tree, ...kept };
      }),
    edits: (params, spec) => {
      const held = (trains === "all" ? params : params["frozen"] as Tree)["experts"] as Readonly<
        Record<string, Tree>
      >;
      const layers = mixed(names, held, spec, options);
      const router = Object.values(params["router"] as Readonly<Record<string, Affine>>);
      const prepass: Edit = {
        kind: "prepass",
        path: onlyStack(spec, "xlora").path,
        name: signal,
        run: fn(router, (router, call) => routed(router, call, names.length, options)),
      };
      return [
        prepass,
        ...layers.map(({ path, parts }, i): Edit => ({
          kind: "linear",
          path,
          change: {
            form: "delta",
            reads: "input",
            delta: fn(parts.map((part) => part.map), (maps, call) => {
              const λ = call.signal(signal); // [b, t, layers, K]
              const at = routes === "layerwise" ? i : 0;
              const here = reshape(slice(λ, 2, at, at + 1), [λ.shape[0]!, λ.shape[1]!, names.length]);
              const pieces = maps.map((map, j) => {
                const { expert, dropout: p = 0 } = parts[j]!;
                const x = call.train && call.key !== undefined
                  ? dropout(call.x, p, fold(call.key, expert))
                  : call.x;
                return multiply(map.apply(x), slice(here, 2, expert, expert + 1));
              });
              return multiply(addAll(pieces), options.scale ?? 1);
            }),
          },
        })),
      ];
    },
  };
}

/** `xlora` in records; its experts, which may be trained, are its parts. */
export const xloraDefinition: MethodDefinition = {
  name: "xlora",
  summary: "Mixes trained LoRA adapters for each token by weights that a router predicts.",
  facts: {
    parameters: "d K + K for a router of one layer",
    "gradient through the base": "in the second pass",
  },
  title: "X-LoRA",
  options: {
    depth: option(bounded(count, "depth"), "linear layers of the router", 1),
    size: option(bounded(count, "width"), "width between them", 2048),
    dropout: option(probability, "dropout between them", 0.2),
    topK: option(bounded(count, "parts"), "how many experts a token keeps; by default all"),
    scale: option(number, "γ, by which the mixture is multiplied", 1),
    routes: option(oneOf("shared", "layerwise"), "one weighting for all layers, or one for each", "shared"),
    temperature: option(any(positive, oneOf("none")), "τ of the softmax, or none to leave it out", 1),
    chosen: option(oneOf("keep", "softmax"), "what follows when some are kept", "keep"),
    trains: option(oneOf("router", "all"), "what trains: the router, or the experts as well", "router"),
    signal: option(text, "tells two X-LoRAs of one model apart", "xlora"),
  },
  restore: (config, stored) => {
    checkOptions("xlora", config, xloraDefinition.options);
    const held = config["trains"] === "all" ? [] : ["frozen"];
    return xlora({ ...config, experts: stored.components((name) => [...held, "experts", name]) });
  },
  cli: {
    rate: 1e-3,
    flags: [],
    also: { experts: option(foldersSchema(2), "folders of the trained adapters, by name") },
    options: () => ({ size: 256 }),
  },
  prepare: async ({ model, options: { experts, ...own }, load, seed }) => {
    const loaded = await loadAll(load, foldersOf("xlora", "experts", experts, 2));
    try {
      return { adapter: adapt(model, xlora({ ...own, experts: loaded }), seed) };
    } catch (error) {
      freeAll(loaded);
      throw error;
    }
  },
  plan: ({ model, options: { experts, ...own } }) => {
    const names = Object.keys(foldersOf("xlora", "experts", experts, 2));
    const each = names.map((name) => [name, adapt(model, lora({ targets: "all-linear" }))] as const);
    return xlora({ ...own, experts: Object.fromEntries(each) });
  },
  published: {
    setting: "of 2 LoRAs, r 8 on q and v",
    make: (model) => xlora({ experts: { one: adapt(model, lora()), two: adapt(model, lora()) } }),
  },
};

/** One adapted layer and the change of each expert there. */
interface Mixed {
  readonly path: string;
  readonly parts: readonly { readonly expert: number; readonly map: LinearMap; readonly dropout?: number }[];
}

/** The layers that experts adapt, in the model's order. */
function mixed(
  names: readonly string[],
  params: Readonly<Record<string, Tree>>,
  spec: Spec,
  options: XloraOptions,
): readonly Mixed[] {
  const parts = new Map<string, Mixed["parts"]>();
  names.forEach((name, expert) => {
    for (const edit of options.experts[name]!.method.edits(params[name]!, spec)) {
      if (edit.kind !== "linear" || edit.change.form !== "add" || edit.out !== undefined) {
        throw rangeError(
          "METHOD_DOES_NOT_FIT",
          `Cannot mix the ${edit.kind} edit of expert "${name}" at "${edit.path}": X-LoRA mixes linear maps that are added`,
        );
      }
      const { map, dropout } = edit.change;
      const part = { expert, map, ...dropout !== undefined && { dropout } };
      parts.set(edit.path, [...parts.get(edit.path) ?? [], part]);
    }
  });
  const order = [...spec.linears].map((place) => place.path).filter((path) => parts.has(path));
  if (order.length !== parts.size) {
    const other = [...parts.keys()].find((path) => !order.includes(path));
    throw rangeError(
      "METHOD_DOES_NOT_FIT",
      `Cannot mix experts at "${other}": X-LoRA adapts the linear layers of blocks`,
    );
  }
  return order.map((path) => ({ path, parts: parts.get(path)! }));
}

/** λ [b, t, layers, K] from the states of the first pass. */
function routed(
  router: readonly Affine[],
  call: PrepassCall,
  experts: number,
  options: XloraOptions,
): Tensor {
  const { dropout: p = 0.2 } = options;
  const logits = router.reduce((h, layer, i) => {
    if (i === 0) return affine(layer, h);
    const active = relu(h);
    const key = call.train && call.key !== undefined ? fold(call.key, i) : undefined;
    return affine(layer, key === undefined ? active : dropout(active, p, key));
  }, call.states);
  const [b, t] = [logits.shape[0]!, logits.shape[1]!];
  return expertShares(reshape(logits, [b, t, -1, experts]), options);
}

function check(
  { depth = 1, size = 2048, dropout = 0.2, topK, temperature = 1 }: XloraOptions,
  n: number,
): void {
  if (n === 0) throw rangeError("INVALID_ARGUMENT", "Expected at least one expert but found none");
  for (const [name, value] of Object.entries({ depth, size, ...topK !== undefined && { topK } })) {
    if (!Number.isInteger(value) || value < 1) {
      throw rangeError("INVALID_ARGUMENT", `Expected ${name} to be a positive integer but found ${value}`);
    }
  }
  if (!(dropout >= 0 && dropout < 1)) {
    throw rangeError("INVALID_ARGUMENT", `Expected dropout from 0 up to 1 but found ${dropout}`);
  }
  if (temperature !== "none" && !(temperature > 0)) {
    throw rangeError("INVALID_ARGUMENT", `Expected temperature above 0 but found ${temperature}`);
  }
}
