/** Adapters as plain data: what a worker sends, a message carries and a database keeps, in place of a folder. */
import {
  type Adapter,
  bytesOf,
  type DType,
  fromBytes,
  leaves,
  mapTree,
  type Method,
  type Model,
  nest,
  scope,
  type Synchronous,
  type Tree,
} from "../core/mod.ts";
import { onDerivedBase, withoutDerivedBase } from "./derived_base.ts";
import { type KnownMethods, knownMethods, type OwnMethod } from "./records/known_methods.ts";
import { methodOfRecord, type MethodRecord, recordOf } from "./records/method_record.ts";
import { differences } from "./tree_differences.ts";
import { rangeError } from "../errors/error.ts";

/** A tensor as data. */
export interface TensorData {
  /** Elements. */
  readonly dtype: DType;
  /** Sizes of its axes. */
  readonly shape: readonly number[];
  /** Its bytes, little-endian, as safetensors has them. */
  readonly bytes: Uint8Array;
}

/** An adapter as data: the record of its method, and its parameters by their paths. */
export interface AdapterData {
  /** The method and its options, as graft's own folders have them. */
  readonly record: MethodRecord;
  /** Parameters. */
  readonly params: Readonly<Record<string, TensorData>>;
}

/**
 * An adapter as data, which structured cloning copies: for workers, messages and IndexedDB.
 *
 * @throws {TypeError} CANNOT_SAVE when its method has no record.
 * @example
 * ```ts
 * import { adapt, freshModel, leaves, lora, read, reference, smallConfig } from "@graft/peft";
 * import { adapterData, adapterFromData } from "@graft/peft/io";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const adapter = adapt(model, lora({ rank: 2 }), 5);
 * const data = structuredClone(await adapterData(adapter, model));
 * const again = await adapterFromData(data, model);
 * const numbers = (of: typeof again) => Promise.all(leaves(of.params).map(([, leaf]) => read(leaf)));
 * assert.deepEqual(await numbers(again), await numbers(adapter));
 * ```
 */
export async function adapterData(adapter: Adapter, model: Model): Promise<AdapterData> {
  const { method, params } = withoutDerivedBase(adapter);
  const record = recordOf(method, model.spec);
  const tensors: [string, TensorData][] = [];
  for (const [path, leaf] of leaves(params)) {
    const { dtype, shape } = leaf;
    tensors.push([path, { dtype, shape: [...shape], bytes: Uint8Array.from(await bytesOf(leaf)) }]);
  }
  return { record, params: Object.fromEntries(tensors) };
}

/**
 * The adapter of such data, on a model. The caller owns its tensors.
 *
 * @throws {RangeError} ADAPTER_MISMATCH when a parameter is missing, unexpected or of another shape than the model's places ask for.
 * @example
 * ```ts
 * import { adapt, freshModel, lora, reference, smallConfig } from "@graft/peft";
 * import { adapterData, adapterFromData } from "@graft/peft/io";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const small = freshModel(smallConfig("llama"), { backend, key: 0 });
 * const wide = freshModel(smallConfig("llama", { width: 32 }), { backend, key: 0 });
 * const data = await adapterData(adapt(small, lora({ rank: 2 })), small);
 * await assert.rejects(adapterFromData(data, wide), { code: "ADAPTER_MISMATCH" });
 * ```
 */
export async function adapterFromData(
  { record, params }: AdapterData,
  model: Model,
  { methods = [], name = "default" }: { readonly methods?: readonly OwnMethod[]; readonly name?: string } =
    {},
): Promise<Adapter> {
  const known = knownMethods(methods);
  const restored = restoredFrom(record, params, model, known);
  return await onDerivedBase({ name, ...restored }, record, model, known);
}

function restoredFrom(
  record: MethodRecord,
  data: AdapterData["params"],
  model: Model,
  known: KnownMethods,
): Pick<Adapter, "method" | "params"> {
  let method: Method | undefined;
  const params = scope((): Synchronous<Tree> => {
    const found = nest(
      Object.entries(data).map(([path, { bytes, shape, dtype }]) =>
        [path, fromBytes(Uint8Array.from(bytes), shape, dtype, model.backend)] as const
      ),
    ) as Tree;
    const integers = (path: string): Int32Array => {
      const { bytes } = data[path] ?? {};
      if (bytes === undefined) throw rangeError("ADAPTER_MISMATCH", `The adapter has no integers "${path}"`);
      return new Int32Array(Uint8Array.from(bytes).buffer);
    };
    method = methodOfRecord(record, { model, params: found, at: "", integers }, known);
    const fresh = method.init({ model, key: 0 });
    const problems = differences(fresh, found);
    if (problems.length > 0) {
      throw rangeError("ADAPTER_MISMATCH", `Cannot put the adapter on this model: ${problems.join("; ")}`);
    }
    const byPath = new Map(leaves(found));
    return mapTree(fresh, (_, path) => byPath.get(path)!) as Synchronous<Tree>;
  });
  return { method: method!, params };
}
