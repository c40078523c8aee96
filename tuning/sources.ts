/**
 * Methods that are made from existing adapters, or from a mask computed from data: `--options` names the
 * adapters' folders.
 *
 *     --method adapter-fusion --options '{"adapters": {"news": "out/news", "chat": "out/chat"}}'
 *     --method xlora          --options '{"experts": {"one": "out/one", "two": "out/two"}}'
 *     --method spot           --options '{"sources": {"mnli": "out/mnli"}}'
 *     --method ipt            --options '{"autoencoder": "out/autoencoder"}' or '{"sources": {"mnli": "out/mnli"}}'
 *     --method sparse-adapter --options '{"host": "houlsby", "keep": 0.5, "score": "snip"}'
 */
import { adapt, type Adapter, type Batch, dispose, type Method, type Model } from "../core/mod.ts";
import { loadAdapter } from "../io/load_adapter.ts";
import { openSafetensors } from "../formats/safetensors.ts";
import { isObject } from "../formats/strict_json.ts";
import { exists } from "../io/inspect_contents.ts";
import { isBuilt, namedMethod } from "../io/records/named_method.ts";
import { METHOD_OPTIONS } from "../io/records/method_options.ts";
import type { JsonOptions } from "../core/options/option_json.ts";
import {
  any,
  anything,
  fields,
  list,
  number,
  oneOf,
  type OptionSchemas,
  record,
  text,
} from "../core/options/option_schemas.ts";
import {
  adapterFusion,
  type AdapterFusionOptions,
  adapterMask,
  type AdapterMaskOptions,
  ipt,
  iptAutoencoder,
  lora,
  pfeiffer,
  promptTuning,
  rankSources,
  sourceWeights,
  sparseAdapter,
  spot,
  xlora,
  type XloraOptions,
} from "../methods/mod.ts";
import { UsageError } from "./usage_error.ts";
import { chosen } from "./prepared_options.ts";
import type { SourcedName } from "./method_catalog.ts";
import type { MethodFlags } from "./method_from_flags.ts";
import { reductionOf } from "../methods/shared/model_sizes.ts";

/** The options allowed in `--options`; folders and hosts have their own error messages. */
const SOURCE_OPTIONS: Readonly<Record<SourcedName, OptionSchemas>> = {
  "adapter-fusion": {
    ...{ adapters: anything, regularization: number, dropout: number },
    temperature: any(number, fields({ from: number, steps: number })),
    matrices: list(oneOf("query", "key", "value")),
    query: oneOf("read", "output"),
  },
  "xlora": {
    ...{ experts: anything, depth: number, size: number, dropout: number, topK: number, scale: number },
    routes: oneOf("shared", "layerwise"),
    temperature: any(number, oneOf("none")),
    chosen: oneOf("keep", "softmax"),
    trains: oneOf("router", "all"),
    signal: text,
  },
  "spot": {
    ...{ sources: anything, weights: record(number), task: text, nearest: number },
    similarity: oneOf("means", "pairs"),
    where: METHOD_OPTIONS.promptTuning["where"]!,
  },
  "ipt": { autoencoder: text, sources: anything, task: text, intrinsic: number, hidden: number },
  "sparse-adapter": {
    host: anything,
    hostOptions: record(anything),
    keep: number,
    score: oneOf("random", "magnitude", "snip", "grasp", "synflow", "erdosRenyi", "gradient"),
  },
};

type Flags = MethodFlags & { readonly method: SourcedName; readonly seed: number };
type Options = Readonly<Record<string, unknown>>;

/** The initial adapter; its parameters, including those of its sources, are owned by the caller. */
export async function sourced(model: Model, flags: Flags, batches: () => readonly Batch[]): Promise<Adapter> {
  const options = chosen(model, flags, SOURCE_OPTIONS[flags.method]);
  const { seed } = flags;
  switch (flags.method) {
    case "adapter-fusion": {
      const { adapters: paths, ...rest } = options;
      const adapters = await loaded(model, folders(flags, "adapters", paths, 1));
      return adapt(model, adapterFusion({ ...rest, adapters } as AdapterFusionOptions), seed);
    }
    case "xlora": {
      const { experts: paths, ...rest } = options;
      const experts = await loaded(model, folders(flags, "experts", paths, 2));
      return adapt(model, xlora({ size: 256, ...rest, experts } as XloraOptions), seed);
    }
    case "spot":
      return await fromPrompts(model, flags, options);
    case "ipt":
      return await intrinsic(model, flags, options);
    case "sparse-adapter":
      return await sparse(model, flags, options, batches);
    default:
      return flags.method satisfies never;
  }
}

/** The method from shapes alone, for plans. */
export function plannedSourced(model: Model, flags: Flags): Method {
  const options = chosen(model, flags, SOURCE_OPTIONS[flags.method]);
  const each = (name: string, least: number, method: Method): Readonly<Record<string, Adapter>> =>
    Object.fromEntries(
      Object.keys(folders(flags, name, options[name], least)).map((own) => [own, adapt(model, method)]),
    );
  switch (flags.method) {
    case "adapter-fusion": {
      const { adapters: _, ...rest } = options;
      return adapterFusion({ ...rest, adapters: each("adapters", 1, pfeiffer()) } as AdapterFusionOptions);
    }
    case "xlora": {
      const { experts: _, ...rest } = options;
      return xlora(
        { size: 256, ...rest, experts: each("experts", 2, lora({ targets: "all-linear" })) } as XloraOptions,
      );
    }
    case "spot":
    case "ipt": {
      const given = options["autoencoder"];
      const paths = typeof given === "string"
        ? [given]
        : Object.values(folders(flags, "sources", options["sources"], 1));
      return promptTuning({ length: storedRows(paths[0]!, model) });
    }
    case "sparse-adapter":
      return hostOf(model, flags, options);
    default:
      return flags.method satisfies never;
  }
}

/**
 * The number of rows of a stored prompt, or of the output of a stored decoder; the paper's 100 where the file
 * does not give it.
 */
function storedRows(folder: string, { spec }: Model): number {
  const path = `${folder}/adapter_model.safetensors`;
  if (!exists(path)) return 100;
  const { width } = spec.stacks[0]!;
  const file = openSafetensors(path);
  const sizes = [...file.tensors.values()].map(({ shape }) =>
    shape.reduce((a, b) => a * b, 1) / (shape[1] ?? 1)
  );
  const rows = [...file.tensors.values()].filter(({ shape }) => shape.length === 2 && shape[1] === width);
  file.close();
  return rows[0]?.shape[0] ?? Math.max(...sizes) / width;
}

/** Folders by name. */
function folders(
  { method }: Flags,
  option: string,
  given: unknown,
  least: number,
): Readonly<Record<string, string>> {
  const entries = isObject(given) ? Object.entries(given) : [];
  if (entries.length < least || entries.some(([, path]) => typeof path !== "string")) {
    throw new UsageError(
      `Expected --options '{"${option}": {"name": "folder", …}}' with --method ${method}: ${
        least === 1 ? "at least one trained adapter" : `at least ${least} trained adapters`
      }`,
    );
  }
  return Object.fromEntries(entries) as Readonly<Record<string, string>>;
}

async function loaded(
  model: Model,
  paths: Readonly<Record<string, string>>,
): Promise<Readonly<Record<string, Adapter>>> {
  const found: Record<string, Adapter> = {};
  try {
    for (const [name, path] of Object.entries(paths)) found[name] = await loadAdapter(path, model);
    return found;
  } catch (error) {
    release(found);
    throw error;
  }
}

const release = (sources: Readonly<Record<string, Adapter>>): void => {
  for (const { params } of Object.values(sources)) dispose(params);
};

/** SPoT: one source, given weights, or the `nearest` sources to a prompt from early training on the task. */
async function fromPrompts(model: Model, flags: Flags, options: Options): Promise<Adapter> {
  const { sources: paths, weights, task, nearest = 1, similarity = "means", where } = options as {
    readonly sources?: unknown;
    readonly weights?: Readonly<Record<string, number>>;
    readonly task?: string;
    readonly nearest?: number;
    readonly similarity?: "means" | "pairs";
    readonly where?: "front";
  };
  const sources = await loaded(model, folders(flags, "sources", paths, 1));
  const early = task === undefined ? undefined : await loadAdapter(task, model);
  try {
    const mixed = weights ??
      (early === undefined
        ? undefined
        : sourceWeights(await rankSources(early, sources, similarity), nearest));
    const method = spot({ sources, ...mixed && { weights: mixed }, ...where && { where } });
    return adapt(model, method, flags.seed);
  } finally {
    release(sources);
    if (early !== undefined) dispose(early.params);
  }
}

/** IPT's last stage: the intrinsic vector of a trained decoder, or of a new one made for given prompts. */
async function intrinsic(model: Model, flags: Flags, options: Options): Promise<Adapter> {
  const { autoencoder: path, ...fresh } = options;
  const autoencoder = typeof path === "string"
    ? await loadAdapter(path, model)
    : await freshAutoencoder(model, flags, fresh);
  try {
    const made = adapt(model, ipt({ autoencoder }), flags.seed);
    const { decoder: _, ...unused } = autoencoder.params;
    dispose(unused);
    return made;
  } catch (error) {
    dispose(autoencoder.params);
    throw error;
  }
}

/** An untrained autoencoder of given prompts, of which it takes ownership. */
async function freshAutoencoder(model: Model, flags: Flags, options: Options): Promise<Adapter> {
  const { sources: paths, task, ...sizes } = options;
  const prompts = await loaded(model, folders(flags, "sources", paths, 1));
  try {
    const method = iptAutoencoder({ ...sizes, prompts, task: (task ?? Object.keys(prompts)[0]) as string });
    return adapt(model, method, flags.seed);
  } catch (error) {
    release(prompts);
    throw error;
  }
}

function hostOf(model: Model, flags: Flags, { host = "houlsby", hostOptions = {} }: Options): Method {
  if (typeof host !== "string" || !isBuilt(host)) {
    throw new UsageError(
      `Expected "host" of --method sparse-adapter to be a method's name but found ${JSON.stringify(host)}`,
    );
  }
  const wide = ["houlsby", "pfeiffer", "parallelAdapter"].includes(host)
    ? { reduction: reductionOf(flags.bottleneck, model.spec) }
    : {};
  const own = Object.fromEntries(Object.entries(wide).filter(([, value]) => value !== undefined));
  return namedMethod(host, { ...own, ...hostOptions as JsonOptions } as JsonOptions);
}

/** The mask is computed from the first rows; SNIP cannot score matrices that start at zero. */
async function sparse(
  model: Model,
  flags: Flags,
  options: Options,
  batches: () => readonly Batch[],
): Promise<Adapter> {
  const host = hostOf(model, flags, options);
  const { keep = 0.5, score = "snip" } = options as Partial<AdapterMaskOptions>;
  const fresh = adapt(model, host, flags.seed);
  const mask = await adapterMask(model, fresh, { keep, score, batches: batches(), key: flags.seed });
  dispose(fresh.params);
  return adapt(model, sparseAdapter({ host, mask }), flags.seed);
}
