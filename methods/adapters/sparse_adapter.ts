/**
 * SparseAdapter. He et al. 2022, "SparseAdapter: An Easy Approach for Improving the Parameter-Efficiency of Adapters", arXiv
 * 2210.04284, section 3.
 *
 *   an adapter's matrices θ are used as θ ⊙ m        m in {0, 1} fixed before training (`adapterMask`); biases are not masked
 *
 * The mask is multiplied in the forward pass, so a masked element has no effect and no gradient, even if
 * weight decay changes it. Large-Sparse is a bottleneck k times as wide with a share of 1/k kept: r = 256 at
 * a quarter has the matrices of a dense r = 64. Any method whose edits compute with trained matrices can be
 * the host, LoRA too.
 */
import {
  adapt,
  dispose,
  type Edit,
  type Fn,
  fn,
  fold,
  key,
  leaves,
  type LinearMap,
  mapTree,
  type Method,
  type MethodDefinition,
  nest,
  type Planning,
  scope,
  type Spec,
  type Synchronous,
  type Tensor,
  tensorsIn,
  type Tree,
} from "../../core/mod.ts";
import {
  anything,
  bounded,
  count,
  type Filled,
  filled,
  oneOf,
  option,
  type Options,
  record,
  text,
} from "../../core/options/mod.ts";
import { less, multiply, uniform } from "../../ops/mod.ts";
import { share } from "../shared/number_schemas.ts";
import { adapterMask, type AdapterMaskOptions } from "./adapter_mask.ts";
import { houlsby } from "./houlsby.ts";
import { rangeError, typeError } from "../../errors/error.ts";

/** Options of SparseAdapter. */
export interface SparseAdapterOptions {
  /** The adapter whose matrices are masked. */
  readonly host: Method;
  /** From `adapterMask`: f32 of zeros and ones under the host's parameter paths. Borrowed. */
  readonly mask: Tree;
}

/** What a run needs to make the mask. */
const HOST: Options = {
  host: option(text, "the adapter whose matrices are masked, by its method's name", "houlsby"),
  hostOptions: option(record(anything), "its options", {}),
  bottleneck: option(bounded(count, "width"), "its hidden size"),
  keep: option(share, "the share of the matrices' parameters that is kept", 0.5),
  score: option(
    oneOf("random", "magnitude", "snip", "grasp", "synflow", "erdosRenyi", "gradient"),
    "which parameters are kept: those with the highest such score",
    "snip",
  ),
};

/**
 * SparseAdapter as a method. Parameters: the host's own under `of`, and the masks under `frozen`. `finalize`
 * returns the host with zeros where the mask has them.
 *
 * @throws {TypeError} at `edits`, when the host changes layers other than by adding linear maps.
 * @example
 * ```ts
 * import { houlsby, sparseAdapter } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(sparseAdapter({ host: houlsby({ reduction: 4 }), mask: {} }).name, "sparse-adapter");
 * ```
 */
export function sparseAdapter({ host, mask }: SparseAdapterOptions): Method {
  const whole = ({ of, frozen }: Tree): Held => ({ of: of as Tree, masks: frozen as Tree });
  return {
    definition: sparseAdapterDefinition,
    name: "sparse-adapter",
    config: {},
    components: { of: host },
    init: (given) => ({ of: host.init(given), frozen: mask }),
    edits: (params, spec) => {
      const held = whole(params);
      return host.edits(held.of, spec).map((edit, i) => maskedEdit(edit, i, held, host, spec));
    },
    ...host.penalty && { penalty: (params, spec) => host.penalty!(masked(whole(params)), spec) },
    ...host.project && { project: (params) => ({ ...params, of: host.project!(params["of"] as Tree) }) },
    ...host.rates && {
      rates: ({ params, ...given }) => {
        const rate = host.rates!({ ...given, params: params["of"] as Tree });
        return (path) => path.startsWith("of.") ? rate(path.slice(3)) : 1;
      },
    },
    finalize: (params, spec) => {
      let method = host;
      const kept = scope((): Synchronous<Tree> => {
        const of = mapTree(masked(whole(params)), (t) => multiply(t, 1));
        const finalized = host.finalize?.(of, spec) ?? { method, params: of };
        method = finalized.method;
        return finalized.params as Synchronous<Tree>;
      });
      return { method, params: kept };
    },
  };
}

/** `sparseAdapter` in records: the host, beside which the masks are stored. */
export const sparseAdapterDefinition: MethodDefinition = {
  name: "sparse-adapter",
  summary: "Prunes an adapter before training, and trains the weights that are left.",
  facts: { parameters: "density · weights + biases" },
  title: "SparseAdapter",
  options: {},
  restore: (_, stored) => {
    const { of } = stored.components(() => ["of"]);
    return sparseAdapter({ host: of!.method, mask: stored.params["frozen"] as Tree });
  },
  cli: { rate: 1e-4, flags: ["bottleneck"], also: HOST },
  prepare: async (given) => {
    const { model, seed } = given;
    const host = hostOf(given);
    const { keep, score } = filled(given.options, HOST) as Pick<Filled<AdapterMaskOptions>, "keep" | "score">;
    const fresh = adapt(model, host, seed);
    try {
      const { gradients } = given;
      const batches = given.batches(64);
      const mask = await adapterMask(model, fresh, {
        keep,
        score,
        batches,
        key: seed,
        ...gradients && { gradients },
      });
      return { adapter: adapt(model, sparseAdapter({ host, mask }), seed) };
    } finally {
      dispose(fresh.params);
    }
  },
  plan: hostOf,
  survey: {
    kinds: "AS",
    storage: "yes",
    memory: "yes",
    backward: "no",
    overhead: "Extra FFN",
    trainable: "2.0",
    changed: "2.0",
    differs: "the article calls the mask a selection; masked numbers still have a place and are counted",
  },
  published: {
    setting: "r d/12, half kept",
    make: (model) => {
      const host = houlsby({ reduction: 12 });
      const half = leaves(adapt(model, host).params).filter(([, t]) => t.shape.length > 1).map(([path, t]) =>
        [path, less(uniform(fold(key(0), path), t.shape, model.backend), 0.5)] as const
      );
      return sparseAdapter({ host, mask: nest(half) as Tree });
    },
  },
};

/** The host that a run's options name, as wide as `bottleneck` says where it has such a width. */
function hostOf({ model, options, method }: Pick<Planning, "model" | "options" | "method">): Method {
  const { host, hostOptions, bottleneck } = filled(options, HOST) as {
    readonly host: string;
    readonly hostOptions: Readonly<Record<string, unknown>>;
    readonly bottleneck?: number;
  };
  const { create, cli, name } = method(host);
  if (create === undefined) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Expected sparse-adapter's option "host" to be made from options, unlike ${name}`,
    );
  }
  const wide = bottleneck !== undefined && cli?.flags.includes("bottleneck")
    ? cli.options?.({ bottleneck }, model.spec, [], hostOptions)
    : {};
  return create({ ...wide, ...hostOptions });
}

/** The host's parameters and the masks of some of them. */
interface Held {
  readonly of: Tree;
  readonly masks: Tree;
}

/** θ ⊙ m, for all leaves that have a mask or for the given ones. */
function masked({ of, masks }: Held, used?: ReadonlySet<string>): Tree {
  const byPath = new Map(leaves(masks));
  return mapTree(of, (t, path) => {
    const m = used === undefined || used.has(path) ? byPath.get(path) : undefined;
    return m === undefined ? t : multiply(t, m);
  });
}

/** The host's i-th edit, recreated in each pass from the masked parameters that it uses. */
function maskedEdit(edit: Edit, i: number, held: Held, host: Method, spec: Spec): Edit {
  const hidden = new Map(leaves(held.masks));
  const seen = new Set(tensorsIn(edit).map((t) => t.storage));
  const used = new Set(
    leaves(held.of).filter(([path, t]) => seen.has(t.storage) && hidden.has(path)).map(([path]) => path),
  );
  if (used.size === 0) return edit;
  const recomputed = <K extends Edit["kind"]>(kind: K, now: Held): Extract<Edit, { kind: K }> => {
    const found = host.edits(masked(now, used), spec)[i]!;
    if (found.kind !== kind) {
      throw typeError("INVALID_ARGUMENT", `Expected the same edits of ${host.name} for the same shapes`);
    }
    return found as Extract<Edit, { kind: K }>;
  };
  const run = <Call, Result>(f: (now: Held) => Fn<Call, Result>): Fn<Call, Result> =>
    fn(held, (now, call: Call) => f(now).run(call));
  switch (edit.kind) {
    case "hidden":
      return { ...edit, delta: run((now) => recomputed("hidden", now).delta) };
    case "prefix":
      return { ...edit, rows: run((now) => recomputed("prefix", now).rows) };
    case "prompt":
      return { ...edit, rows: run((now) => recomputed("prompt", now).rows) };
    case "side":
      return { ...edit, run: run((now) => recomputed("side", now).run) };
    case "prepass":
      return { ...edit, run: run((now) => recomputed("prepass", now).run) };
    case "weight":
      return { ...edit, map: run((now) => recomputed("weight", now).map) };
    case "linear": {
      const map = (): LinearMap => {
        const { change } = recomputed("linear", held);
        if (change.form !== "add") {
          throw typeError("INVALID_ARGUMENT", `Expected ${host.name} to add a linear map at "${edit.path}"`);
        }
        return change.map;
      };
      if (edit.change.form !== "add") {
        throw typeError(
          "INVALID_ARGUMENT",
          `Cannot mask ${host.name}: at "${edit.path}" it does more than add a linear map`,
        );
      }
      return { ...edit, change: { ...edit.change, map: maskedMap(edit.change.map, held, used, map) } };
    }
    default:
      return edit satisfies never;
  }
}

/** A map recreated whenever it is used. */
function maskedMap(map: LinearMap, held: Held, used: ReadonlySet<string>, now: () => LinearMap): LinearMap {
  const masks = leaves(held.masks).filter(([path]) => used.has(path)).map(([, t]): Tensor => t);
  const { inFeatures, outFeatures, cost } = map;
  return {
    inFeatures,
    outFeatures,
    cost,
    tensors: [...map.tensors, ...masks],
    apply: (x) => now().apply(x),
    weight: () => now().weight(),
    columns: (ids) => now().columns(ids),
    ...map.factors && { factors: () => now().factors!() },
  };
}
