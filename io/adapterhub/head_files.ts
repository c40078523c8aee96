/** The files of a head: the trained modules under the checkpoint's names. */
import {
  type Adapter,
  bytesOf,
  isQuantized,
  type Json,
  leaves,
  lookup,
  type Model,
  type Tensor,
} from "../../core/mod.ts";
import { ADAPTERS_FILES, ADAPTERS_VERSION } from "../../formats/adapters_config.ts";
import type { WritableTensor } from "../../formats/tensor_file.ts";
import { architectureOf } from "../../models/mod.ts";
import type { Component } from "./components.ts";
import { type HubFile, keyPrefix } from "./files.ts";
import { classOf } from "./head.ts";

/** @throws {RangeError} when a module is no head's, or tied to the base. */
export function headFiles(heads: readonly Component[], adapter: Adapter, model: Model): readonly HubFile[] {
  if (heads.length === 0) return [];
  const found = heads.flatMap(({ params, prefix }) =>
    leaves(params).map(([path]) => [path, prefix === "" ? path : `${prefix}.${path}`] as const)
  );
  const base = keyPrefix(model, classOf(model));
  const inside = found.find(([path]) =>
    (base !== "" && path.startsWith(base)) || /^(encoder|decoder|shared|embeddings)\b/.test(path)
  );
  if (inside !== undefined) {
    throw new RangeError(
      `Cannot save "${
        inside[0]
      }" for AdapterHub: it belongs to the base, and a folder holds heads alone; merge it and save the model`,
    );
  }
  const tied = model.spec.heads.find(({ path, tiedTo }) =>
    tiedTo !== undefined && found.some(([leaf]) => leaf === `${path}.weight`)
  );
  if (tied !== undefined) {
    throw new RangeError(
      `Cannot save "${tied.path}.weight" for AdapterHub: the model ties it to "${tied.tiedTo}"`,
    );
  }
  const { savedName = (path: string) => path } = architectureOf(model.config);
  const tensors = found.map(([path, at]): WritableTensor => {
    const leaf = lookup(adapter.params, at) as Tensor;
    if (isQuantized(leaf.dtype)) throw new TypeError(`Cannot save "${path}" for AdapterHub: it is quantized`);
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
