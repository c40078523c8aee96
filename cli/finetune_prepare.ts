/**
 * What a method needs between the loaded model and the first step, and after the last one: masks and directions from data,
 * bases that give part of themselves away, a head that trains beside, networks that have done their work.
 */
import {
  adapt,
  type Adapter,
  type Batch,
  byteLength,
  chooseTargets,
  compose,
  dispose,
  type Method,
  type Model,
  scope,
  sizesOf,
  type Synchronous,
  Tensor,
  type Tree,
  weightLeaves,
} from "../core/mod.ts";
import { namedMethod } from "../io/named_method.ts";
import { type JsonOptions, optionsFromJson } from "../io/option_codec.ts";
import {
  eva,
  type EvaOptions,
  fishMask,
  loftq,
  type LoftqOptions,
  modulesToSave,
  olora,
  onOriginal,
  pissa,
  type PissaOptions,
  type Prepared,
  type PreparedOptions,
} from "../methods/mod.ts";
import { headModules } from "../models/mod.ts";
import { fishBudget, fisherMask, type FisherMaskOptions } from "../recipes/fish_mask.ts";
import { batchOf, type Rows } from "../train/mod.ts";
import { UsageError } from "./arguments.ts";
import { earlyStages, largestStage, STAGE_OPTIONS, type StageRun } from "./finetune_stages.ts";
import type { MethodName } from "./method_table.ts";
import { checkFlags, lowRankOptions, type MethodFlags, methodOf } from "./methods.ts";

/** A run's model and adapter at its first step. */
export interface Started<M extends Model> {
  /** What trains under the adapter: the loaded model, or it with other weights. */
  readonly model: M;
  readonly adapter: Adapter;
  /** What is handed on of the trained adapter, for the loaded model. The caller disposes what is new in it. */
  finish(trained: Adapter): Promise<Adapter>;
  /** Frees the first parameters when the run has taken copies. */
  release(): void;
  dispose(): void;
}

/** What methods that look at data see of it. */
export interface StartData {
  readonly rows: Rows;
  readonly batchSize: number;
  readonly pad: number;
  readonly stages: StageRun;
}

/** Prepares a run. `fresh` are modules of the head that no checkpoint has. */
export async function start<M extends Model>(
  model: M,
  flags: MethodFlags & { readonly seed: number },
  data: StartData,
  fresh: readonly string[] = [],
): Promise<Started<M>> {
  checkFlags(flags);
  const { method, seed } = flags;
  const head = headOf(flags, model, fresh);
  switch (method) {
    case "pissa":
    case "olora":
    case "loftq": {
      const prepared = await preparedBase(model, flags, method);
      return {
        model: prepared.model,
        adapter: withHead(prepared.adapter, head, model, seed),
        finish: (trained) => replaced(trained, head, (own) => onOriginalBase(model, flags, prepared, own)),
        release: () => {},
        dispose: () => prepared.dispose(),
      };
    }
    case "eva": {
      const options = chosen(model, flags, [...LORA, "spread", "threshold", "svd", "tokens", "maxBatches"]);
      const batches = batchesOf(data, 512);
      const { adapter } = await eva(
        model,
        batches,
        { ...evaTokens(batches), ...options, key: seed } as EvaOptions,
      );
      return plain(model, withHead(adapter, head, model, seed));
    }
    case "fish-mask": {
      const { ratio = 0.005, ...rest } = chosen(model, flags, FISH) as Partial<FisherMaskOptions>;
      const mask = await fisherMask(model, batchesOf(data, 1024), { ratio, ...rest });
      return plain(model, adapt(model, fishMask({ mask }), seed));
    }
    case "diff-pruning":
    case "lt-sft":
    case "far": {
      const options = chosen(model, flags, STAGE_OPTIONS[method]);
      const adapter = await earlyStages(method, model, data.rows, options, data.stages, seed);
      return plain(model, withHead(adapter, head, model, seed));
    }
    default: {
      const own = methodOf({ ...flags, method }, model.spec);
      return plain(model, adapt(model, head === undefined ? own : beside(own, head), seed));
    }
  }
}

/** The adapter of a run by shapes alone, for plans. */
export function plannedAdapter(
  model: Model,
  flags: MethodFlags & { readonly seed: number },
  fresh: readonly string[] = [],
): Adapter {
  checkFlags(flags);
  const head = headOf(flags, model, fresh);
  const own = plannedMethod(model, flags);
  // What looks at numbers between steps does not count.
  const { adjust: _, ...method } = head === undefined ? own : beside(own, head);
  return adapt(model, method, flags.seed);
}

function plannedMethod(model: Model, flags: MethodFlags): Method {
  const { method } = flags;
  switch (method) {
    case "fish-mask":
      return plannedMask(model, chosen(model, flags, FISH) as Partial<FisherMaskOptions>);
    case "diff-pruning":
    case "lt-sft":
    case "far":
      return largestStage(method, model, chosen(model, flags, STAGE_OPTIONS[method]));
    default:
      return methodOf({ ...flags, method }, model.spec);
  }
}

/** Bytes of a changed base that lies beside the model's, with the factors that were taken out of it. */
export function plannedBase(model: Model, flags: MethodFlags): number {
  const { method } = flags;
  if (method !== "pissa" && method !== "olora" && method !== "loftq") return 0;
  const options = chosen(model, flags, [...LOFTQ, "svd"]) as LoftqOptions;
  const dtype = method === "loftq" ? options.dtype ?? "nf4" : "f32";
  const rank = options.rank!;
  return chooseTargets(model.spec, options).map(sizesOf).reduce((sum, { inFeatures, outFeatures }) => {
    const factors = 4 * rank * (inFeatures + outFeatures);
    return sum + byteLength(dtype, [outFeatures, inFeatures]) + (method === "loftq" ? 1 : 2) * factors;
  }, 0);
}

const FISH = ["ratio", "examples", "labels", "classifier"] as const;
const LORA = [
  ...["targets", "exclude", "layers", "rank", "alpha", "scaling", "dropout"],
  ...["rankPattern", "alphaPattern", "bias", "branchBias"],
] as const;

/** A run of an adapter that is ready. */
export function plain<M extends Model>(model: M, adapter: Adapter): Started<M> {
  return {
    model,
    adapter,
    finish: (trained) => Promise.resolve(settled(trained, model)),
    release: () => dispose(adapter.params),
    dispose: () => {},
  };
}

function settled(trained: Adapter, { spec }: Model): Adapter {
  const { method, params, name = "default" } = trained;
  if (method.settle === undefined) return trained;
  let left: Method | undefined;
  const kept = scope((): Synchronous<Tree> => {
    const adapter = method.settle!(params, spec);
    left = adapter.method;
    return adapter.params as Synchronous<Tree>;
  });
  return { name, method: left!, params: kept };
}

/** The head that trains beside the method; undefined where there is none, or where the method trains it. */
function headOf({ method }: MethodFlags, model: Model, fresh: readonly string[]): Method | undefined {
  const classifier = headModules(model);
  const others = fresh.filter((path) =>
    !classifier.some((name) => path === name || path.startsWith(`${name}.`))
  );
  const made = (modules: readonly string[]): Method | undefined =>
    modules.length === 0 ? undefined : modulesToSave({ modules });
  switch (method) {
    case "full":
    case "top-layers":
    case "fish-mask":
    case "diff-pruning":
    case "lt-sft":
      return undefined;
    case "bitfit":
    case "p-tuning-v2":
      return made(others);
    default:
      return made([...others, ...classifier]);
  }
}

/** As adapter folders are loaded. */
function beside(own: Method, head: Method): Method {
  return compose({ adapter: own, saved: head }) as unknown as Method;
}

function withHead(adapter: Adapter, head: Method | undefined, model: Model, seed: number): Adapter {
  if (head === undefined) return { ...adapter, name: "default" };
  const { method, params } = adapt(model, head, seed);
  return {
    name: "default",
    method: beside(adapter.method, method),
    params: { adapter: adapter.params, saved: params },
  };
}

/** Changes the adapter's own part and leaves the head. */
async function replaced(
  trained: Adapter,
  head: Method | undefined,
  change: (own: Adapter) => Promise<Adapter>,
): Promise<Adapter> {
  if (head === undefined) return { ...await change(trained), name: "default" };
  const own = await change({ ...trained, params: trained.params["adapter"] as Tree });
  return {
    name: "default",
    method: beside(own.method, head),
    params: { adapter: own.params, saved: trained.params["saved"] as Tree },
  };
}

async function preparedBase<M extends Model>(
  model: M,
  flags: MethodFlags & { readonly seed: number },
  method: "pissa" | "olora" | "loftq",
): Promise<Prepared<M>> {
  const key = flags.seed;
  switch (method) {
    case "pissa":
      return await pissa(model, { ...chosen(model, flags, [...LORA, "svd"]), key } as PissaOptions);
    case "olora":
      return await olora(model, { ...chosen(model, flags, LORA), key } as PreparedOptions);
    case "loftq":
      return await loftq(model, { ...chosen(model, flags, LOFTQ), key } as LoftqOptions);
    default:
      return method satisfies never;
  }
}

const LOFTQ = [...LORA, "dtype", "iterations"] as const;

/**
 * PiSSA and OLoRA become LoRA of the base that everyone has, exactly and with twice the rank. LoftQ's base, which differs in
 * every weight, is made again whenever the adapter is loaded.
 */
async function onOriginalBase<M extends Model>(
  model: M,
  flags: MethodFlags,
  prepared: Prepared<M>,
  trained: Adapter,
): Promise<Adapter> {
  const own = { ...trained, method: prepared.adapter.method };
  if (flags.method === "loftq") {
    const options = { ...lowRankOptions(flags, model.spec), ...flags.options };
    return { ...own, method: { ...own.method, ...namedMethod("loftq", options) } };
  }
  return (await onOriginal(model, prepared, own)).adapter;
}

/** Options of a method that is no plain one. @throws {UsageError} on an unknown one. */
function chosen(
  model: Model,
  flags: MethodFlags,
  known: readonly string[],
): Readonly<Record<string, unknown>> {
  const { method, options = {} } = flags;
  const unknown = Object.keys(options).find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new UsageError(`${method} has no option "${unknown}": there are ${known.join(", ")}`);
  }
  const own: JsonOptions = !LOW_RANK.includes(method) ? {} : lowRankOptions(flags, model.spec);
  return optionsFromJson({ ...own, ...options });
}

const LOW_RANK: readonly MethodName[] = ["pissa", "olora", "loftq", "eva"];

/** The first rows in batches. */
function batchesOf({ rows, batchSize, pad }: StartData, most: number): readonly Batch[] {
  const count = Math.min(rows.count, most);
  return Array.from({ length: Math.ceil(count / batchSize) }, (_, i) => {
    const numbers = Array.from(
      { length: Math.min(batchSize, count - i * batchSize) },
      (_, j) => [i * batchSize + j],
    );
    return batchOf(rows, { rows: numbers, targets: 0 }, { batching: { kind: "buckets", batchSize }, pad });
  });
}

/** Where a text has one label, all its tokens count. */
function evaTokens(batches: readonly Batch[]): Pick<EvaOptions, "tokens"> {
  return typeof batches[0]?.labels?.[0] === "number" ? { tokens: "all" } : {};
}

/** A mask of the size that the budget gives, spread evenly. */
function plannedMask(model: Model, { ratio = 0.005, classifier }: Partial<FisherMaskOptions>): Method {
  const { masked } = fishBudget(model, { ratio, ...classifier !== undefined && { classifier } });
  const all = weightLeaves(model.weights);
  const total = all.reduce((n, [, leaf]) => n + leaf.size, 0);
  const leaves = all.map(([path, leaf]) => {
    const length = Math.min(leaf.size, Math.max(1, Math.round(masked * leaf.size / total)));
    return { path, shape: leaf.shape, indices: Int32Array.from({ length }, (_, i) => i) };
  });
  return fishMask({ mask: { leaves, whole: [] } });
}

/** Frees the tensors of a finished adapter that are not the trained one's. */
export function disposeNew(finished: Adapter, trained: Adapter): void {
  const old = new Set(tensorsOf(trained.params));
  dispose(tensorsOf(finished.params).filter((t) => !old.has(t)));
}

function tensorsOf(tree: Tree): readonly Tensor[] {
  return Object.values(tree).flatMap((node) => node instanceof Tensor ? [node] : tensorsOf(node));
}
