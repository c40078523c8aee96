/**
 * AdapterHub's compositions: `adapter_setup.json`, a tree of blocks over adapters by name, with a folder for each adapter and each
 * fusion.
 *
 *     { "adapter_setup": { "type": "Stack", "children": [{ "type": "single", "children": ["a"] }, …], "kwargs": {} },
 *       "head_setup": null | "a" | ["a", "b"] | { a block }, "version": … }
 */
import {
  type Adapter,
  checkCounts,
  compose,
  dispose,
  type Method,
  type Model,
  perRow,
  type Tree,
} from "../../core/mod.ts";
import { ADAPTERS_FILES } from "../../formats/adapters_config.ts";
import { ADAPTERS_COUNTS } from "../../formats/counted_fields.ts";
import { isObject } from "../../formats/strict_json.ts";
import { AVERAGE, SPLIT } from "../../methods/adapterhub/blocks.ts";
import { isThere } from "../adapter_folder.ts";
import { namedFolder, type NamedFolderOptions, type Naming } from "../named_folder.ts";
import { type Branch, checkBranches, checkStack, isRowBlock, kindOf } from "./branches.ts";
import { fused } from "./fusion.ts";
import type { Load, LoadedSetup } from "./loaded.ts";
import { readJson } from "../inspect_contents.ts";
import { rangeError, syntaxError } from "../../errors/error.ts";

/** One block of a composition. */
interface Block {
  readonly type: string;
  readonly children: readonly (Block | string)[];
  /** weights, splits or batch_sizes. */
  readonly options: Readonly<Record<string, unknown>>;
}

/** The state while loading a setup. */
interface Loading {
  readonly folder: string;
  readonly model: Model;
  readonly load: Load;
  /** How names become folders. */
  readonly named: Naming;
  /** What is freed when loading fails. */
  readonly held: Tree[];
}

/** A folder with `adapter_setup.json`. @throws {RangeError} when it asks for a composition that is not known here. */
export async function loadSetup(
  folder: string,
  model: Model,
  load: Load,
  options: NamedFolderOptions,
): Promise<LoadedSetup> {
  const path = `${folder}/${ADAPTERS_FILES.setup}`;
  const config = readJson(path);
  checkCounts(path, config, ADAPTERS_COUNTS);
  const block = blockOf(path, config["adapter_setup"]);
  checkNames(folder, block);
  const named = { ...options, what: `Cannot load the setup of "${folder}"` };
  const held: Tree[] = [];
  try {
    const { adapter } = await composed({ folder, model, load, named, held }, block);
    return {
      adapter: { ...adapter, name: "default" },
      ...await headsOf(folder, block, config["head_setup"], named),
    };
  } catch (error) {
    dispose(held);
    throw error;
  }
}

function blockOf(path: string, value: unknown): Block {
  if (!isObject(value) || typeof value["type"] !== "string" || !Array.isArray(value["children"])) {
    throw syntaxError(
      "FILE_INVALID",
      `Cannot read ${path}: a block of a setup must have a "type" and "children"`,
    );
  }
  if (value["children"].length === 0) {
    throw syntaxError("FILE_INVALID", `Cannot read ${path}: its ${value["type"]} has no children`);
  }
  return {
    type: value["type"],
    children: value["children"].map((child: unknown) => childOf(path, child)),
    options: isObject(value["kwargs"]) ? value["kwargs"] : {},
  };
}

/** A block of type "single" means an adapter's name. */
function childOf(path: string, child: unknown): Block | string {
  if (typeof child === "string") return child;
  const block = blockOf(path, child);
  return block.type === "single" && typeof block.children[0] === "string" ? block.children[0] : block;
}

/** All adapters of a block, from left to right. */
function namesOf(block: Block | string): readonly string[] {
  return typeof block === "string" ? [block] : block.children.flatMap(namesOf);
}

const nameOf = (block: Block | string): string => namesOf(block).join("_");

const lastOf = (block: Block | string): string => namesOf(block).at(-1)!;

/** Parameters are a tree: one set of them cannot be shared between two places. */
function checkNames(folder: string, block: Block): void {
  const names = namesOf(block);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice === undefined) return;
  throw rangeError(
    "FILE_INVALID",
    `Cannot load the setup of "${folder}": "${twice}" stands at two places of it; save it there under another name`,
  );
}

/**
 * The locations of the heads: next to an adapter in its folder; a branch with its own rows has its own head,
 * by the order of "head_setup" where that lists them.
 */
async function headsOf(
  folder: string,
  block: Block,
  head: unknown,
  named: Naming,
): Promise<Pick<LoadedSetup, "headFolder" | "branchHeads">> {
  const last = block.type === "Stack" ? block.children.at(-1)! : block;
  if (typeof last !== "string" && isRowBlock(last.type)) {
    const listed = Array.isArray(head)
      ? head.map(String)
      : isObject(head)
      ? blockOf(`${folder}/${ADAPTERS_FILES.setup}`, head).children.map(lastOf)
      : undefined;
    const one = typeof head === "string" ? head : undefined;
    const branchHeads: Record<string, string> = {};
    for (const [i, child] of last.children.entries()) {
      branchHeads[nameOf(child)] = await namedFolder(folder, one ?? listed?.[i] ?? lastOf(child), named);
    }
    return { headFolder: folder, branchHeads };
  }
  if (typeof head === "string") return { headFolder: await namedFolder(folder, head, named) };
  const atRoot = await isThere(`${folder}/${ADAPTERS_FILES.headConfig}`);
  return { headFolder: atRoot ? folder : await namedFolder(folder, lastOf(block), named) };
}

/** A loaded part of a setup. */
interface LoadedBranch extends Branch {
  readonly adapter: Adapter;
}

async function composed(loading: Loading, block: Block | string): Promise<LoadedBranch> {
  const { folder, model, load, named, held } = loading;
  if (typeof block === "string") {
    const { adapter, parts, folder: { name, configs } } = await load(
      await namedFolder(folder, block, named),
    );
    held.push(adapter.params);
    return { name: block, adapter, leaves: [{ name, configs, parts }], kind: "single" };
  }
  if (block.type === "single") return await composed(loading, block.children[0]!);
  const name = nameOf(block);
  if (block.type === "Fuse") {
    const names = block.children.map((child) => {
      if (typeof child === "string") return child;
      throw rangeError(
        "ADAPTER_UNSUPPORTED",
        `Cannot load the setup of "${folder}": a ${child.type} inside a Fuse is not supported, only adapters by name`,
      );
    });
    for (const name of names) await namedFolder(folder, name, named);
    const place = await namedFolder(folder, names.join(","), named);
    const { adapter } = await fused({ folder, model, load, named }, names, place);
    held.push(adapter.params);
    return { name, adapter, leaves: [], kind: "fusion" };
  }
  if (!KNOWN.includes(block.type)) {
    throw rangeError(
      "ADAPTER_UNSUPPORTED",
      `Cannot load the setup of "${folder}": it has a "${block.type}"; known are ${
        KNOWN.join(", ")
      } and Fuse`,
    );
  }
  const branches: LoadedBranch[] = [];
  for (const child of block.children) branches.push(await composed(loading, child));
  const what = `Cannot load the ${block.type} of "${folder}"`;
  if (block.type === "Stack") checkStack(what, branches, model);
  else checkBranches(what, block.type, branches, model);
  return {
    name,
    adapter: joined(what, block, branches),
    leaves: branches.flatMap(({ leaves }) => leaves),
    kind: branches.length === 1 && block.type === "Stack" ? branches[0]!.kind : kindOf(block.type, branches),
  };
}

const KNOWN: readonly string[] = [
  "single",
  "Stack",
  "Average",
  "Split",
  "BatchSplit",
  "Parallel",
  "MultiTask",
];

/** Combines the children into one adapter. */
function joined(what: string, { type, options }: Block, branches: readonly LoadedBranch[]): Adapter {
  if (type === "Stack" && branches.length === 1) return branches[0]!.adapter;
  const adapters = Object.fromEntries(branches.map(({ name, adapter }) => [name, adapter]));
  if (isRowBlock(type)) return perRow(adapters);
  const methods = Object.fromEntries(branches.map(({ name, adapter }) => [name, adapter.method]));
  const method: unknown = type === "Average"
    ? AVERAGE.method(methods, weightsOf(what, options["weights"], branches.length))
    : type === "Split"
    ? SPLIT.method(methods, numbers(what, "splits", options["splits"], branches.length))
    : compose(methods);
  const params = Object.fromEntries(branches.map(({ name, adapter }) => [name, adapter.params]));
  return { method: method as Method, params };
}

/** The library normalizes weights to a sum of 1 whenever it reads them. */
function weightsOf(what: string, value: unknown, n: number): readonly number[] {
  const weights = numbers(what, "weights", value, n);
  const sum = weights.reduce((a, b) => a + b, 0);
  if (sum === 0) throw rangeError("FILE_INVALID", `${what}: its weights add up to 0`);
  return Math.abs(sum - 1) < 1e-9 ? weights : weights.map((w) => w / sum);
}

function numbers(what: string, name: string, value: unknown, n: number): readonly number[] {
  if (Array.isArray(value) && value.length === n && value.every((x) => Number.isFinite(x))) return value;
  throw rangeError(
    "FILE_INVALID",
    `${what}: its ${name} are ${JSON.stringify(value) ?? "missing"} for ${n} adapters`,
  );
}
