/**
 * Tensors of AdapterHub files as parameters: checks that exactly the expected keys are present, with their
 * shapes.
 */
import {
  type Model,
  nest,
  sameShape,
  scope,
  showShape,
  type Synchronous,
  type Tensor,
  type Tree,
} from "../../core/mod.ts";
import { openSafetensors } from "../../formats/safetensors.ts";
import type { StoredTensor } from "../../formats/tensor_file.ts";
import { weightsPath } from "../adapter_folder.ts";
import { bareKey, type Reading, type StoredKey } from "../../methods/adapterhub/layout.ts";
import { loadTensor } from "../stored_values.ts";
import { rangeError } from "../../errors/error.ts";

/** The tensors of a file by their keys without the class's prefix; `use` runs while it is open. */
export async function withTensors<R>(
  folder: string,
  weights: string,
  pickle: string,
  use: (stored: ReadonlyMap<string, StoredTensor>) => R | Promise<R>,
): Promise<R> {
  const remedy = "save the adapter in AdapterHub once with use_safetensors=True";
  const file = openSafetensors(await weightsPath(folder, { weights, pickle, remedy }));
  try {
    return await use(canonical(folder, [...file.tensors.values()]));
  } finally {
    file.close();
  }
}

/**
 * A prefix's tensors are in the file once for every attention that uses them: they must be equal, and get one
 * key here.
 */
function canonical(folder: string, tensors: readonly StoredTensor[]): ReadonlyMap<string, StoredTensor> {
  const found = new Map<string, StoredTensor>();
  for (const tensor of tensors) {
    const key = bareKey(tensor.name).replace(
      /^.*prefix_tuning\.pool\.prefix_tunings\./,
      "prefix_tuning.prefix_tunings.",
    );
    const first = found.get(key);
    if (first === undefined) found.set(key, tensor);
    else if (!sameBytes(first, tensor)) {
      throw rangeError(
        "FILE_INVALID",
        `Cannot load "${folder}": "${first.name}" and "${tensor.name}" are one tensor to the library but differ`,
      );
    }
  }
  return found;
}

function sameBytes(a: StoredTensor, b: StoredTensor): boolean {
  if (a.dtype !== b.dtype || !sameShape(a.shape, b.shape)) return false;
  const [x, y] = [a.read(), b.read()];
  return x.every((byte, i) => byte === y[i]);
}

/** The key of a tensor in the file. */
function keyIn(stored: ReadonlyMap<string, StoredTensor>, { key, also = [] }: StoredKey): string | undefined {
  return [key, ...also].find((name) => stored.has(name));
}

/**
 * Checks the keys and reads the parameters.
 *
 * @throws {RangeError} naming what is missing, unexpected or of the wrong shape.
 */
export function readParams(
  folder: string,
  reads: readonly Reading[],
  stored: ReadonlyMap<string, StoredTensor>,
  model: Model,
): Tree {
  const expected = reads.flatMap(({ from }) => from);
  const names = new Set(expected.flatMap(({ key, also = [] }) => [key, ...also]));
  const problems = new Set([
    ...expected.flatMap((wanted) => {
      const key = keyIn(stored, wanted);
      if (key === undefined) return [`"${wanted.key}" is missing`];
      const { shape } = stored.get(key)!;
      return sameShape(shape, wanted.shape)
        ? []
        : [`"${key}": expected ${showShape(wanted.shape)} but found ${showShape(shape)}`];
    }),
    ...[...stored.keys()].filter((key) => !names.has(key)).map((key) => `"${key}" is not expected`),
  ]);
  if (problems.size > 0) {
    const [listed, more] = [[...problems].slice(0, 6), problems.size - 6];
    throw rangeError(
      "ADAPTER_MISMATCH",
      `Cannot load "${folder}" for this model: ${listed.join("; ")}${more > 0 ? `; and ${more} more` : ""}`,
    );
  }
  return scope((): Synchronous<Tree> => {
    const loaded = new Map<string, Tensor>();
    const load = (wanted: StoredKey): Tensor => {
      const key = keyIn(stored, wanted)!;
      const tensor = loaded.get(key) ?? loadTensor(stored.get(key)!, model);
      loaded.set(key, tensor);
      return tensor;
    };
    return nest(
      reads.filter(({ path }) => path !== "").map(({ path, from, read }) =>
        [path, read(from.map(load))] as const
      ),
    ) as Synchronous<Tree>;
  });
}
