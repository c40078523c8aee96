/** The files of a head: the trained modules under the checkpoint's names, or layers by number where the head is the library's. */
import {
  type Adapter,
  areGradients,
  byteLength,
  bytesOf,
  componentMethods,
  isQuantized,
  type Json,
  leaves,
  lookup,
  type Method,
  type MethodConfig,
  type Model,
  perRowDefinition,
  scope,
  type Synchronous,
  type Tensor,
  trainableCopy,
  type Tree,
} from "../../core/mod.ts";
import { ADAPTERS_FILES, ADAPTERS_VERSION } from "../../formats/adapters_config.ts";
import type { WritableTensor } from "../../formats/tensor_file.ts";
import type { SavedModules } from "../../methods/peft_beside.ts";
import { architectureOf } from "../../models/mod.ts";
import { add } from "../../ops/mod.ts";
import type { Component } from "../../methods/adapterhub/components.ts";
import { isOneHead, type Node } from "./setup_files.ts";
import { type HubFile, keyPrefix, libraryClass } from "./files.ts";
import { classOf, layersOfHead, leavesOfLayer } from "./head.ts";
import { rangeError, typeError } from "../../errors/error.ts";

/** The head as a folder of the library's own classes stores it; undefined for any other component. */
export const ownHead = ({ options }: Component): SavedModules["head"] =>
  (options as MethodConfig & SavedModules).head;

/**
 * The files of heads: of a model of transformers' class, or of the library's where they came from one.
 *
 * @throws {RangeError} when a module is no head's, or tied to the base, or the library's head does not fit the model.
 */
export function headFiles(heads: readonly Component[], adapter: Adapter, model: Model): readonly HubFile[] {
  if (heads.length === 0) return [];
  const own = heads.filter((component) => ownHead(component) !== undefined);
  if (own.length === 0) return staticFiles(heads, adapter, model);
  if (heads.length > 1) {
    throw rangeError("CANNOT_SAVE", "Cannot save two heads for AdapterHub: a folder holds one");
  }
  return ownFiles(own[0]!, adapter, model);
}

/** A head for the rows of a batch that have a name. */
export interface RowHead {
  /** The name. */
  readonly row: string;
  readonly component: Component;
}

/** The heads of rows that each have their own: next to the per-row adapters, or inside them. */
export function rowHeads(
  method: Method,
  params: Tree,
  prefix: string,
): readonly RowHead[] {
  return componentMethods(method, params, prefix).filter(({ of }) => of.definition === perRowDefinition)
    .flatMap(({ of, params, prefix }) =>
      Object.entries(of.components ?? {}).flatMap(([row, part]) => {
        const at = prefix === "" ? row : `${prefix}.${row}`;
        return componentMethods(part, (params[row] ?? {}) as Tree, at)
          .filter(({ of }) => isOneHead(of)).map((component) => ({ row, component }));
      })
    );
}

/** The files of per-row heads: each next to the last adapter of its branch, where the library looks for it. */
export function rowHeadFiles(
  heads: readonly RowHead[],
  node: Node,
  adapter: Adapter,
  model: Model,
): readonly HubFile[] {
  const block = node.kind === "block" && node.type === "Stack" ? node.children.at(-1)! : node;
  return heads.flatMap(({ row, component }, i) => {
    const at = block.kind === "block" ? block.rows?.indexOf(row) ?? -1 : -1;
    if (at < 0 || ownHead(component) === undefined || heads.some((head, k) => head.row === row && k !== i)) {
      throw rangeError(
        "CANNOT_SAVE",
        `Cannot save the head of the rows "${row}" for AdapterHub: heads of their own are for a model of the library's own class, ` +
          "one for each branch",
      );
    }
    const folder = lastOf((block as Extract<Node, { kind: "block" }>).children[at]!);
    return ownFiles(component, adapter, model).map((file) => ({ ...file, path: `${folder}/${file.path}` }));
  });
}

const lastOf = (node: Node): string => node.kind === "block" ? lastOf(node.children.at(-1)!) : node.name;

/** One of the library's heads: each layer's weights under its number, taken from the model if the adapter lacks them. */
function ownFiles(component: Component, adapter: Adapter, model: Model): readonly HubFile[] {
  const { name, config } = ownHead(component)!;
  const layers = layersOfHead(config, model);
  if (layers === undefined) {
    throw rangeError(
      "CANNOT_SAVE",
      `Cannot save the head "${name}" for AdapterHub: the model has none that computes ${
        JSON.stringify(config)
      }`,
    );
  }
  const held = new Map(leaves(component.params));
  const tensors = Object.entries(layers).flatMap(([number, module]) =>
    leavesOfLayer(module, model).map(({ path, source }): WritableTensor => {
      const leaf = held.get(path);
      held.delete(path);
      if (leaf === undefined && areGradients(adapter.params)) {
        throw rangeError(
          "CANNOT_SAVE",
          `Cannot save the gradients of ${adapter.method.name} for AdapterHub: its head's file holds "${path}", which has none`,
        );
      }
      const shape = leaf?.shape ?? (lookup(model.weights, source) as Tensor).shape;
      return {
        name: `heads.${name}.${number}.${path.slice(path.lastIndexOf(".") + 1)}`,
        dtype: "f32",
        shape,
        byteLength: byteLength("f32", shape),
        read: async () => {
          const made = scope((): Synchronous<Tensor> =>
            leaf === undefined ? trainableCopy(model, source) : add(leaf, 0)
          );
          const bytes = await bytesOf(made);
          made.storage.free();
          return bytes;
        },
      };
    })
  );
  const [other] = held.keys();
  if (other !== undefined) {
    throw rangeError(
      "CANNOT_SAVE",
      `Cannot save "${other}" for AdapterHub: it is no layer of the head "${name}"; merge it and save the model`,
    );
  }
  const fields = {
    config,
    hidden_size: model.spec.stacks[0]!.width,
    model_class: libraryClass(model),
    model_name: model.source ?? "",
    model_type: model.config.model_type,
    name,
    version: ADAPTERS_VERSION,
  };
  return [
    { path: ADAPTERS_FILES.headConfig, text: `${JSON.stringify(fields, null, 2)}\n` },
    { path: ADAPTERS_FILES.head, tensors: tensors.sort((a, b) => a.name < b.name ? -1 : 1) },
  ];
}

function staticFiles(heads: readonly Component[], adapter: Adapter, model: Model): readonly HubFile[] {
  const found = heads.flatMap(({ params, prefix }) =>
    leaves(params).map(([path]) => [path, prefix === "" ? path : `${prefix}.${path}`] as const)
  );
  const base = keyPrefix(model, classOf(model));
  const inside = found.find(([path]) =>
    (base !== "" && path.startsWith(base)) || /^(encoder|decoder|shared|embeddings)\b/.test(path)
  );
  if (inside !== undefined) {
    throw rangeError(
      "CANNOT_SAVE",
      `Cannot save "${
        inside[0]
      }" for AdapterHub: it belongs to the base, and a folder holds heads alone; merge it and save the model`,
    );
  }
  const tied = model.spec.heads.find(({ path, tiedTo }) =>
    tiedTo !== undefined && found.some(([leaf]) => leaf === `${path}.weight`)
  );
  if (tied !== undefined) {
    throw rangeError(
      "CANNOT_SAVE",
      `Cannot save "${tied.path}.weight" for AdapterHub: the model ties it to "${tied.tiedTo}"`,
    );
  }
  const { savedName = (path: string) => path } = architectureOf(model.config);
  const tensors = found.map(([path, at]): WritableTensor => {
    const leaf = lookup(adapter.params, at) as Tensor;
    if (isQuantized(leaf.dtype)) {
      throw typeError("CANNOT_SAVE", `Cannot save "${path}" for AdapterHub: it is quantized`);
    }
    const { dtype, shape } = leaf;
    return { name: savedName(path), dtype, shape, byteLength: leaf.storage.bytes, read: () => bytesOf(leaf) };
  });
  const { label2id, id2label } = model.config as Readonly<Record<string, Json>>;
  const ids = label2id ?? (id2label === undefined ? undefined : Object.fromEntries(
    Object.entries(id2label as Readonly<Record<string, string>>).map(([id, label]) => [label, Number(id)]),
  ));
  const text = `${
    JSON.stringify(
      {
        config: null,
        hidden_size: model.spec.stacks[0]!.width,
        ...ids !== undefined && { label2id: ids, num_labels: Object.keys(ids as object).length },
        model_class: classOf(model),
        model_name: model.source ?? "",
        model_type: model.config.model_type,
        name: null,
        version: ADAPTERS_VERSION,
      },
      null,
      2,
    )
  }\n`;
  return [{ path: ADAPTERS_FILES.headConfig, text }, { path: ADAPTERS_FILES.head, tensors }];
}
