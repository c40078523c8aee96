/** Compositions as AdapterHub setups: the tree of blocks, and a folder for each adapter and each fusion. */
import {
  type Adapter,
  composeDefinition,
  type Json,
  type Method,
  type Model,
  perRowDefinition,
  type Tree,
} from "../../core/mod.ts";
import { AVERAGE, FUSE, SPLIT } from "../../methods/adapterhub/blocks.ts";
import { ADAPTERS_FILES, ADAPTERS_VERSION } from "../../formats/adapters_config.ts";
import { type Branch, checkBranches, checkStack, kindOf } from "./branches.ts";
import { describe } from "./fields.ts";
import { adapterFiles, checkedName, type HubFile, leafOf } from "./files.ts";
import { fusionFiles } from "./fusion_files.ts";
import { type Component, componentsOf } from "../../methods/adapterhub/components.ts";
import { rangeError } from "../../errors/error.ts";

/** Whether a piece is a head, or one for each of several rows. */
export const isHead = ({ of }: Component): boolean => isOneHead(of) || areHeads(of);

/** Whether a method is stored as a head in folders. */
export const isOneHead = ({ definition }: Method): boolean => definition?.wholeModules === true;

/** Whether a method is a head for each of several rows. */
const areHeads = ({ definition, components = {} }: Method): boolean =>
  definition === perRowDefinition && Object.values(components).every(isOneHead);

/** A part of an adapter: one that a folder holds, a fusion, or several in a block. */
export type Node =
  | { readonly kind: "single"; readonly name: string; readonly components: readonly Component[] }
  | { readonly kind: "fusion"; readonly name: string; readonly components: readonly Component[] }
  | {
    readonly kind: "block";
    readonly name: string;
    readonly type: "Stack" | "Average" | "Split" | "Parallel";
    readonly kwargs?: { readonly [name: string]: Json };
    readonly children: readonly Node[];
    /** The names that rows of a batch have for the children of a Parallel. */
    readonly rows?: readonly string[];
  };

/** An adapter without its heads; undefined where it has nothing else. */
export function nodeOf(
  name: string,
  method: Method,
  params: Tree,
  prefix: string,
  model: Model,
): Node | undefined {
  const { config, definition, components: methods = {} } = method;
  const children = (): readonly Node[] =>
    Object.entries(methods).flatMap(([part, inner]) => {
      const at = prefix === "" ? part : `${prefix}.${part}`;
      const node = nodeOf(part, inner, (params[part] ?? {}) as Tree, at, model);
      return node === undefined ? [] : [node];
    });
  if (isOneHead(method) || areHeads(method)) return undefined;
  if (definition === perRowDefinition) return rowsOf(name, children(), Object.keys(methods));
  if (definition === AVERAGE.definition) {
    const { weights, divided } = config as { readonly weights: readonly number[]; readonly divided: boolean };
    if (!divided || Math.abs(weights.reduce((a, b) => a + b, 0) - 1) > 1e-9) {
      throw rangeError(
        "CANNOT_SAVE",
        `Cannot save ${method.name} for AdapterHub: its weights add up to 1 there, and it divides by their number once more: divided true`,
      );
    }
    return { kind: "block", name, type: "Average", kwargs: { weights }, children: children() };
  }
  if (definition === SPLIT.definition) {
    return {
      kind: "block",
      name,
      type: "Split",
      kwargs: { splits: config["lengths"] as readonly number[] },
      children: children(),
    };
  }
  const components = componentsOf(method, params, prefix).filter((component) => !isHead(component));
  const beside = components.some((component) =>
    [perRowDefinition, AVERAGE.definition, SPLIT.definition, FUSE.definition]
      .some((one) => one === component.of.definition)
  );
  if (!beside && isOne(components, model)) {
    return components.length === 0 ? undefined : { kind: "single", name, components };
  }
  if (definition !== composeDefinition) return { kind: "fusion", name, components };
  const nested = children();
  if (nested.length === 1) return nested[0]!;
  return {
    kind: "block",
    name,
    type: "Stack",
    children: nested.flatMap((node) =>
      node.kind === "block" && node.type === "Stack" ? node.children : [node]
    ),
  };
}

function rowsOf(name: string, children: readonly Node[], rows: readonly string[]): Node {
  if (children.length < rows.length) {
    throw rangeError(
      "CANNOT_SAVE",
      `Cannot save the adapters by rows "${name}" for AdapterHub: one of them is a head alone`,
    );
  }
  return { kind: "block", name, type: "Parallel", children, rows };
}

/** Whether one configuration, or a union of different ones, can represent the components. */
function isOne(components: readonly Component[], model: Model): boolean {
  const seen = new Set<string>();
  for (const component of components) {
    const { kind, config: { fields } } = describe(component, model);
    const places = kind.wired
      ? ["mh_adapter", "output_adapter", "cross_adapter"].filter((place) => fields[place] === true)
      : [kind.name];
    if (places.some((place) => seen.has(place))) return false;
    for (const place of places) seen.add(place);
  }
  return true;
}

/**
 * The files of a setup.
 *
 * @throws {RangeError} when the library would compute something else for it, or two adapters have the same
 * name.
 */
export function setupFiles(node: Node, adapter: Adapter, model: Model): readonly HubFile[] {
  const names = namesOf(node);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) {
    throw rangeError(
      "CANNOT_SAVE",
      `Cannot save the adapters for AdapterHub: two of them are called "${twice}"`,
    );
  }
  const { block, files } = blockOf(node, adapter, model);
  const root = node.kind === "single" ? { type: "Stack", children: [block] } : block;
  const setup = { adapter_setup: root, head_setup: null, version: ADAPTERS_VERSION };
  return [{ path: ADAPTERS_FILES.setup, text: `${JSON.stringify(setup, null, 2)}\n` }, ...files];
}

function namesOf(node: Node): readonly string[] {
  if (node.kind === "block") return node.children.flatMap(namesOf);
  return node.kind === "fusion" ? Object.keys(node.components[0]!.of.components!) : [node.name];
}

/** A block of the setup, its branch for the checks, and the files below it. */
interface Written {
  readonly block: Json;
  readonly branch: Branch;
  readonly files: readonly HubFile[];
}

function blockOf(node: Node, adapter: Adapter, model: Model): Written {
  const { name } = node;
  if (node.kind === "fusion") {
    return {
      ...fusionFiles(node.components[0]!, adapter, model),
      branch: { name, kind: node.kind, leaves: [] },
    };
  }
  if (node.kind === "single") {
    checkedName(name);
    return {
      block: { type: "single", children: [name] },
      branch: { name, kind: node.kind, leaves: [leafOf(name, node.components, model)] },
      files: adapterFiles(name, node.components, adapter, model)
        .map((file) => ({ ...file, path: `${name}/${file.path}` })),
    };
  }
  const { type, kwargs, children } = node;
  const written = children.map((child) => blockOf(child, adapter, model));
  const branches = written.map(({ branch }) => branch);
  const what = `Cannot save the ${type} of ${
    branches.map(({ name }) => `"${name}"`).join(", ")
  } for AdapterHub`;
  if (type === "Stack") checkStack(what, branches, model);
  else checkBranches(what, type, branches, model);
  return {
    block: { type, children: written.map(({ block }) => block), ...kwargs && { kwargs } },
    branch: { name, kind: kindOf(type, branches), leaves: branches.flatMap(({ leaves }) => leaves) },
    files: written.flatMap(({ files }) => files),
  };
}
