/**
 * The tensors that `saveAdapter` writes to a PEFT folder: parameters under PEFT's keys, and tables of the
 * base.
 */
import {
  type Adapter,
  byteLength,
  bytesOf,
  castTo,
  FROZEN,
  isQuantized,
  lookup,
  type Model,
  scope,
  type Synchronous,
  type Tensor,
  type Tree,
} from "../../core/mod.ts";
import { withPrefix } from "../../formats/peft_keys.ts";
import type { WritableTensor } from "../../formats/tensor_file.ts";
import type { PeftFields, PeftTensor } from "../../methods/peft/codec.ts";
import { matrixPlaces } from "../../methods/peft/places.ts";
import { addAll, multiply, place, reshape } from "../../ops/mod.ts";
import { baseTables, savesBaseTables } from "./base.ts";
import type { FolderLayout } from "./layout.ts";
import type { AdapterParts } from "./parts.ts";
import { rangeError } from "../../errors/error.ts";

/** The tensors of an adapter's parameters. */
export function adapterTensors(
  { params }: Adapter,
  { tensors, copies, originals }: FolderLayout,
  model: Model,
): readonly WritableTensor[] {
  const held = tensors.filter(({ path }) => lookup(params, path) !== undefined);
  const written = held.filter(({ part }) => part === undefined).map((
    { path, key, shape, stored, factor },
  ) => writable(key, stored ?? shape, lookup(params, path) as Tensor, factor));
  const joined = [...Map.groupBy(held.filter(({ part }) => part !== undefined), ({ key }) => key)];
  const copied = copies.flatMap(({ key, of }) => {
    const { path, shape, stored } = tensors.find((t) => t.key === of)!;
    const held = lookup(params, path) as Tensor | undefined; // gradients contain no frozen parameters
    return held === undefined ? [] : [writable(key, stored ?? shape, held)];
  });
  const own = originals.map(({ key, leaf }) => {
    const bias = lookup(model.weights, leaf) as Tensor;
    return writable(key, bias.shape, bias);
  });
  const none = tensors.filter(({ zeros }) => zeros).map(({ key, shape }): WritableTensor => {
    const length = byteLength("f32", shape);
    return {
      name: withPrefix(key),
      dtype: "f32",
      shape,
      byteLength: length,
      read: () => new Uint8Array(length),
    };
  });
  return [
    ...written,
    ...copied,
    ...own,
    ...none,
    ...joined.map(([key, parts]) => joinedTensor(key, parts, params)),
  ];
}

/** A matrix of the file composed of several parameters; zeros where it has none. */
function joinedTensor(key: string, parts: readonly PeftTensor[], params: Tree): WritableTensor {
  const stored = parts[0]!.stored!;
  return {
    name: withPrefix(key),
    dtype: "f32",
    shape: stored,
    byteLength: byteLength("f32", stored),
    read: async () => {
      const whole = scope((): Synchronous<Tensor> =>
        addAll(parts.map(({ path, part }) => {
          const { axis, from } = part!;
          const matrix = reshape(
            lookup(params, path) as Tensor,
            axis === 0 ? [-1, stored[1]!] : [stored[0]!, -1],
          );
          return place(matrix, axis, from, stored[axis]!);
        }))
      );
      const bytes = await bytesOf(whole);
      whole.storage.free();
      return bytes;
    },
  };
}

/** The base's tables, where PEFT saves them. */
export function tableTensors(
  { params }: Adapter,
  { parts, names }: AdapterParts,
  fields: PeftFields,
  model: Model,
): readonly WritableTensor[] {
  const brought = new Set(parts.fixed ?? []);
  const saves = parts.tokens === undefined &&
    savesBaseTables(
      (fields["target_modules"] ?? []) as readonly string[] | string,
      matrixPlaces(model.spec).map((p) => p.path),
    );
  const all = baseTables(parts, model);
  const heads = model.spec.heads.flatMap((head) => head.tiedTo === undefined ? [] : [`${head.path}.weight`]);
  const lost = [...brought].find((path) => !all.some(({ leaf }) => leaf === path) && !heads.includes(path));
  if (lost !== undefined) {
    throw rangeError(
      "CANNOT_SAVE",
      `Cannot save the fixed weight "${lost}" for PEFT: only the table of an adapted embedding or head; merge it and ` +
        "save the model",
    );
  }
  const ownOf = (leaf: string) => lookup(params, `${names.fixed}.${FROZEN}.${leaf}`);
  const tables = all.filter(({ leaf }) => brought.has(leaf) ? ownOf(leaf) !== undefined : saves); // gradients have none
  return tables.map(({ key, leaf, shape }) => {
    const own = ownOf(leaf);
    return writable(key, shape, (own ?? lookup(model.weights, leaf)) as Tensor);
  });
}

function writable(key: string, shape: readonly number[], t: Tensor, factor = 1): WritableTensor {
  const dtype = isQuantized(t.dtype) ? "f32" : t.dtype;
  return {
    name: withPrefix(key),
    dtype,
    shape,
    byteLength: byteLength(dtype, shape),
    read: async () => {
      if (dtype === t.dtype && factor === 1) return await bytesOf(t);
      const decoded = scope((): Synchronous<Tensor> => {
        const plain = castTo(t, dtype);
        return factor === 1 ? plain : multiply(plain, factor);
      });
      const bytes = await bytesOf(decoded);
      decoded.storage.free();
      return bytes;
    },
  };
}
