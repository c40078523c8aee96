/**
 * AdapterHub's compositions: `adapter_setup.json` with a folder for each adapter and each fusion, and folders of a fusion alone,
 * whose adapters lie in folders below it or beside it.
 */
import { type Adapter, compose, dispose, type Method, type Model, perRow, type Tree } from "../core/mod.ts";
import { ADAPTERS_FILES } from "../formats/adapters_config.ts";
import { isObject } from "../formats/strict_json.ts";
import { adapterFusion, type FusionMatrix } from "../methods/mod.ts";
import { full } from "../ops/mod.ts";
import { isThere } from "./adapter_folder.ts";
import { adapterModule, all, type Both, same } from "./adapters_layout.ts";
import type { LoadedFolder } from "./adapters_load.ts";
import { readJson } from "./inspect_contents.ts";
import { readParams, withTensors } from "./adapters_read.ts";

type Load = (path: string) => Promise<LoadedFolder>;
type Fields = Readonly<Record<string, unknown>>;

/** An adapter, and the folder that may hold its head. */
export interface LoadedSetup {
  readonly adapter: Adapter;
  readonly headFolder: string;
}

/** One block of a composition. */
interface Block {
  readonly type: string;
  readonly children: readonly (Block | string)[];
}

/** A folder with `adapter_setup.json`. @throws {RangeError} when it asks for a composition that is not known here. */
export async function loadSetup(folder: string, model: Model, load: Load): Promise<LoadedSetup> {
  const path = `${folder}/${ADAPTERS_FILES.setup}`;
  const config = readJson(path);
  const block = blockOf(path, config["adapter_setup"]);
  const rootHead = await isThere(`${folder}/${ADAPTERS_FILES.headConfig}`);
  const head = config["head_setup"];
  const adapter = await composed(folder, block, model, load);
  return {
    adapter: { ...adapter, name: "default" },
    headFolder: typeof head === "string"
      ? `${folder}/${head}`
      : rootHead
      ? folder
      : `${folder}/${lastOf(block)}`,
  };
}

function blockOf(path: string, value: unknown): Block {
  if (!isObject(value) || typeof value["type"] !== "string" || !Array.isArray(value["children"])) {
    throw new SyntaxError(`Cannot read ${path}: a block of a setup must have a "type" and "children"`);
  }
  return {
    type: value["type"],
    children: value["children"].map((child: unknown) =>
      typeof child === "string" ? child : blockOf(path, child)
    ),
  };
}

const lastOf = ({ children }: Block): string => {
  const last = children.at(-1)!;
  return typeof last === "string" ? last : lastOf(last);
};

async function composed(folder: string, block: Block, model: Model, load: Load): Promise<Adapter> {
  switch (block.type) {
    case "single":
      return (await load(`${folder}/${single(block)}`)).adapter;
    case "Stack":
      return await freedOnError((held) => stacked(folder, block, model, load, held));
    case "Fuse":
      return (await fused(folder, namesOf(block), `${folder}/${namesOf(block).join(",")}`, model, load))
        .adapter;
    case "BatchSplit":
      return await freedOnError(async (held) => {
        const parts: Record<string, Adapter> = {};
        for (const name of namesOf(block)) {
          const { adapter } = await load(`${folder}/${name}`);
          held.push(adapter.params);
          parts[name] = adapter;
        }
        return perRow(parts);
      });
    default:
      throw new RangeError(
        `Cannot load the setup of "${folder}": it has a "${block.type}"; known are Stack, Fuse and BatchSplit (${
          REASONS[block.type] ?? "of adapters by name"
        })`,
      );
  }
}

/** What `use` puts on its list is freed when it throws. */
async function freedOnError<R>(use: (held: Tree[]) => Promise<R>): Promise<R> {
  const held: Tree[] = [];
  try {
    return await use(held);
  } catch (error) {
    dispose(held);
    throw error;
  }
}

const REASONS: Readonly<Record<string, string>> = {
  Parallel: "load the adapters and put them in perRow, with the batch once for each",
  Split: "it depends on the length of a text",
  Average: "the library divides its mean by the number of adapters once more; load them and use scaled",
  MultiTask: "load the adapters and put them in perRow",
};

const single = ({ children: [name] }: Block): string => name as string;

/** The names of a block of single adapters. */
function namesOf({ type, children }: Block): readonly string[] {
  return children.map((child) => {
    if (typeof child !== "string" && child.type === "single") return single(child);
    throw new RangeError(`Cannot load a setup with a ${type} of anything but adapters by name`);
  });
}

/** One adapter after another. What the library reads of the first alone must not stand in a later one. */
async function stacked(
  folder: string,
  { children }: Block,
  model: Model,
  load: Load,
  held: Tree[],
): Promise<Adapter> {
  const parts: Record<string, Adapter> = {};
  const seen = new Map<string, string>();
  for (const [i, child] of children.entries()) {
    if (typeof child === "string" || child.type !== "single") {
      const inner = await composed(folder, child as Block, model, load);
      held.push(inner.params);
      parts[namesOf(child as Block).join("_")] = inner;
      continue;
    }
    const name = single(child);
    const { adapter, parts: kinds, folder: { configs } } = await load(`${folder}/${name}`);
    held.push(adapter.params);
    const first = kinds.find(({ kind }) => ["invertible", "prompt", "reft"].includes(kind));
    if (i > 0 && first !== undefined) {
      throw new RangeError(
        `Cannot load the stack of "${folder}": "${name}" has a part of the kind ${first.kind}, which the library leaves out ` +
          "unless it is the first",
      );
    }
    for (const { kind, reads } of kinds.filter(({ kind }) => kind === "lora" || kind === "fused")) {
      const clash = reads.map(({ path }) => path).find((path) => seen.has(path));
      if (clash !== undefined) {
        throw new RangeError(
          `Cannot load the stack of "${folder}": "${
            seen.get(clash)
          }" and "${name}" are both ${kind} at "${clash}", where the ` +
            "library feeds one update to the other",
        );
      }
      for (const { path } of reads) seen.set(path, name);
    }
    if (children.length > 1 && configs.some(({ fields }) => fields["is_parallel"] === true)) {
      throw new RangeError(
        `Cannot load the stack of "${folder}": "${name}" runs beside its part, where the library forgets the others`,
      );
    }
    parts[name] = adapter;
  }
  const names = Object.keys(parts);
  if (names.length === 1) return parts[names[0]!]!;
  return {
    method: compose(
      Object.fromEntries(names.map((name) => [name, parts[name]!.method])),
    ) as unknown as Method,
    params: Object.fromEntries(names.map((name) => [name, parts[name]!.params])),
  };
}

/** A folder of a fusion alone. */
export async function loadFusion(folder: string, model: Model, load: Load): Promise<LoadedSetup> {
  const config = fusionConfig(folder);
  const names = (config["adapter_names"] ?? String(config["name"]).split(",")) as readonly string[];
  const parent = folder.includes("/") ? folder.slice(0, folder.lastIndexOf("/")) : ".";
  const below = await isThere(`${folder}/${names[0]}/${ADAPTERS_FILES.config}`);
  if (!below && !await isThere(`${parent}/${names[0]}/${ADAPTERS_FILES.config}`)) {
    throw new RangeError(
      `Cannot load "${folder}": it fuses the adapters ${
        names.join(", ")
      }, which lie in no folders below it or beside it`,
    );
  }
  return await fused(below ? folder : parent, names, folder, model, load);
}

const fusionConfig = (folder: string): Fields => readJson(`${folder}/${ADAPTERS_FILES.fusionConfig}`);

/** Adapters of folders fused; `place` is the fusion's own folder. */
async function fused(
  folder: string,
  names: readonly string[],
  place: string,
  model: Model,
  load: Load,
): Promise<LoadedSetup> {
  const config = fusionConfig(place);
  return await freedOnError(async (held) => {
    const loaded: LoadedFolder[] = [];
    for (const name of names) {
      const one = await load(`${folder}/${name}`);
      held.push(one.adapter.params);
      loaded.push(one);
    }
    checkFusible(place, loaded);
    const adapters = Object.fromEntries(loaded.map(({ adapter }, i) => [names[i]!, adapter]));
    const { options, tensors } = fusionOf(place, config, loaded, model);
    const method = adapterFusion({ ...options, adapters });
    const fusion = await withTensors(
      place,
      ADAPTERS_FILES.fusion,
      ADAPTERS_FILES.fusionPickle,
      (stored) => readParams(place, tensors.reads, stored, model),
    );
    const temperature = typeof options.temperature === "object"
      ? { temperature: full([1], options.temperature.from, model.backend) }
      : {};
    const params = {
      frozen: {
        ...Object.fromEntries(loaded.map(({ adapter }, i) => [names[i]!, adapter.params])),
        ...temperature,
      },
      fusion,
    };
    return {
      adapter: { name: String(config["name"]), method, params },
      headFolder: `${folder}/${names.at(-1)}`,
    };
  });
}

/** The library runs all adapters on what the last one reads and adds to what it keeps: one wiring for all is right. */
function checkFusible(place: string, loaded: readonly LoadedFolder[]): void {
  const wirings = loaded.map(({ folder: { name, configs } }) => {
    const [config, ...more] = configs;
    const { fields, architecture } = config!;
    const odd = more.length > 0 || architecture !== "bottleneck" || fields["inv_adapter"] !== null ||
      fields["is_parallel"] || fields["use_gating"] || fields["ln_after"] ||
      (fields["original_ln_before"] && fields["residual_before_ln"] !== true) || !fields["original_ln_after"];
    if (odd) {
      throw new RangeError(
        `Cannot load the fusion "${place}": "${name}" is no bottleneck adapter whose branch is added to its part's output`,
      );
    }
    return fields["original_ln_before"];
  });
  if (wirings.some((wiring) => wiring !== wirings[0])) {
    throw new RangeError(`Cannot load the fusion "${place}": its adapters read different states`);
  }
}

const FUSION_FIELDS: Fields = {
  key: true,
  query: true,
  value: true,
  query_before_ln: false,
  regularization: true,
  residual_before: false,
  temperature: false,
  value_before_softmax: true,
  value_initialized: true,
  dropout_prob: null,
};

function fusionOf(
  place: string,
  config: Fields,
  loaded: readonly LoadedFolder[],
  model: Model,
): {
  readonly options: Omit<Parameters<typeof adapterFusion>[0], "adapters">;
  readonly tensors: Both;
} {
  if (!isObject(config["config"])) {
    throw new SyntaxError(`Cannot read "${place}": the fusion has no "config"`);
  }
  const fields = { ...FUSION_FIELDS, ...config["config"] };
  const unknown = Object.entries(fields).find(([name, value]) =>
    !Object.hasOwn(FUSION_FIELDS, name) && value
  );
  if (unknown !== undefined) {
    throw new RangeError(`Cannot load the fusion "${place}": its field "${unknown[0]}" is not known`);
  }
  if (fields["residual_before"]) {
    throw new RangeError(`Cannot load the fusion "${place}": residual_before is not supported`);
  }
  const matrices = (["query", "key", "value"] as const).filter((name) => fields[name]);
  if (matrices.length === 0) {
    throw new RangeError(`Cannot load the fusion "${place}": it has no query, key or value`);
  }
  const sites = new Set(
    loaded[0]!.parts.flatMap(({ method }) => method.edits(loaded[0]!.adapter.params, model.spec)).map((
      { path },
    ) => path),
  );
  return {
    options: {
      regularization: fields["regularization"] ? 0.01 : 0,
      dropout: (fields["dropout_prob"] ?? model.config["attention_probs_dropout_prob"] ?? 0) as number,
      ...fields["temperature"] ? { temperature: { from: 50, steps: 1000 } } : {},
      ...matrices.length < 3 ? { matrices: matrices as readonly FusionMatrix[] } : {},
      ...fields["query_before_ln"] ? { query: "output" as const } : {},
    },
    tensors: fusionTensors(model, sites, String(config["name"]), matrices),
  };
}

/** The attention's tensors at each place: query and key [d, d] with biases, value [d, d]. */
export function fusionTensors(
  model: Model,
  sites: ReadonlySet<string>,
  name: string,
  matrices: readonly FusionMatrix[],
): Both {
  return all(
    model.spec.sublayers.filter(({ path }) => sites.has(path)).flatMap((place) => {
      const { path, width: d } = place;
      const key = `${adapterModule(place, model)}.adapter_fusion_layer.${name}`;
      return matrices.flatMap((matrix) => [
        same(`${path}.${matrix}.weight`, `${key}.${matrix}.weight`, [d, d]),
        ...matrix === "value" ? [] : [same(`${path}.${matrix}.bias`, `${key}.${matrix}.bias`, [d])],
      ]);
    }),
  );
}
