/**
 * A run on disk: one safetensors file with the parameters (`params/<path>`), the optimizer's slots as bytes
 * (`slots/<number>/<path>/<slot>`) and, in its metadata, a JSON record of the remaining state needed to
 * resume. Written atomically: a run killed at any moment leaves the last complete state.
 */
import {
  type Backend,
  byteLength,
  bytesOf,
  type DType,
  fromBytes,
  type Json,
  leaves,
  MOST,
  nest,
  scope,
  type Synchronous,
  type Tensor,
  trainable,
  type Tree,
} from "../core/mod.ts";
import { openSafetensors, type SafetensorsFile } from "../formats/safetensors.ts";
import { writeSafetensors } from "../formats/safetensors_write.ts";
import type { WritableTensor } from "../formats/tensor_file.ts";
import { failure, rangeError, syntaxError } from "../errors/error.ts";

/** One optimizer slot as bytes, as provided by training. */
export interface SavedSlot {
  /** The dtype of the values. */
  readonly dtype: DType;
  /** Sizes of the axes. */
  readonly shape: readonly number[];
  /** The values in the dtype's layout. */
  readonly bytes: Uint8Array;
}

/** A run's tensors, as provided by training. */
export interface RunSnapshot {
  /** Steps done. */
  readonly step: number;
  /** The parameters. */
  readonly params: Tree;
  /** By "path/slot", parameters in the order of the tree. */
  readonly slots: AsyncIterable<readonly [name: string, slot: SavedSlot]>;
  /** The method's state between steps. */
  readonly state?: Tree;
}

/** Names and dtypes of the slots of a parameter: the part of an optimizer needed here. */
export interface SlotRule {
  /** Dtypes of a parameter's slots by name. */
  slots(leaf: Tensor): Readonly<Record<string, DType>>;
}

/** Additional state of the caller. */
export type StateRecord = { readonly [name: string]: Json };

const KEY = "graft.training";

type SlotPlan = readonly [name: string, dtype: DType, shape: readonly number[]];

interface Written {
  readonly step: number;
  /** In the order of the tree: sums over parameters must come out in the same order after resuming. */
  readonly params: readonly string[];
  readonly slots: readonly SlotPlan[];
  /** Leaves of the method's state; absent in files of earlier versions. */
  readonly state?: readonly string[];
  readonly record: StateRecord;
}

/**
 * Writes a run's state. Slots are read one at a time, so that paged state stays paged.
 *
 * @example
 * ```ts
 * import { adapt, freshModel, ia3, reference, smallConfig } from "@graft/peft";
 * import { openTrainingState, saveTrainingState } from "@graft/peft/io";
 * import { adamw, startTraining } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const tokens = () => ({ inputIds: [1, 2, 3], labels: [1, 2, 3] });
 * const rows = { count: 4, lengths: [3, 3, 3, 3], targets: [3, 3, 3, 3], tokens };
 * const batching = { kind: "buckets", batchSize: 1 } as const;
 * const options = { learningRate: 1e-2, batching, epochs: 1, pad: 0 };
 * const run = await startTraining(model, adapt(model, ia3()), rows, options);
 * await run.next();
 * const path = await Deno.makeTempFile({ suffix: ".safetensors" });
 * await saveTrainingState(path, run.snapshot(), adamw(), {});
 * using saved = openTrainingState(path);
 * assert.equal(saved.step, 1);
 * run.dispose();
 * await Deno.remove(path);
 * ```
 */
export async function saveTrainingState(
  path: string,
  { step, params, slots, state = {} }: RunSnapshot,
  optimizer: SlotRule,
  record: StateRecord,
): Promise<void> {
  const plan = leaves(trainable(params)).flatMap(([leafPath, leaf]) =>
    Object.entries(optimizer.slots(leaf)).map(([slot, dtype]): SlotPlan => [
      `${leafPath}/${slot}`,
      dtype,
      leaf.shape,
    ])
  );
  const coming = slots[Symbol.asyncIterator]();
  const next = async (wanted: string): Promise<Uint8Array> => {
    const { value, done } = await coming.next();
    if (done || value[0] !== wanted) {
      throw failure(
        "CANNOT_SAVE",
        `Cannot save the optimizer's state: expected "${wanted}" but found "${value?.[0]}"`,
      );
    }
    return value[1].bytes;
  };
  const kept = namedTensors("state", state);
  const names = leaves(state).map(([name]) => name);
  await write(path, params, { step, slots: plan, state: names, record }, [
    ...kept,
    ...plan.map(slotTensor(next)),
  ]);
}

/**
 * Writes parameters alone: the best ones so far.
 *
 * @example
 * ```ts
 * import { read, reference, Tensor, tensor } from "@graft/peft";
 * import { openTrainingState, saveParams } from "@graft/peft/io";
 * import assert from "node:assert/strict";
 * const params = { w: tensor([1, 2], { backend: reference() }) };
 * const path = await Deno.makeTempFile({ suffix: ".safetensors" });
 * await saveParams(path, 30, params);
 * using saved = openTrainingState(path);
 * assert.equal(saved.step, 30);
 * assert.deepEqual([...await read(saved.params(reference())["w"] as Tensor)], [1, 2]);
 * await Deno.remove(path);
 * ```
 */
export function saveParams(
  path: string,
  step: number,
  params: Tree,
  record: StateRecord = {},
): Promise<void> {
  return write(path, params, { step, slots: [], record }, []);
}

/** The writer sorts by name; leading numbers keep the order of the slots. */
const slotName = (name: string, i: number): string => `slots/${String(i).padStart(8, "0")}/${name}`;

const slotTensor =
  (next: (name: string) => Promise<Uint8Array>) =>
  ([name, dtype, shape]: SlotPlan, i: number): WritableTensor => {
    const bytes = byteLength(dtype, shape);
    return {
      name: slotName(name, i),
      dtype: "u8",
      shape: [bytes],
      byteLength: bytes,
      read: () => next(name),
    };
  };

const namedTensors = (folder: string, tree: Tree): readonly WritableTensor[] =>
  leaves(tree).map(([name, leaf]) => ({
    name: `${folder}/${name}`,
    dtype: leaf.dtype,
    shape: leaf.shape,
    byteLength: byteLength(leaf.dtype, leaf.shape),
    read: () => bytesOf(leaf),
  }));

function write(
  path: string,
  params: Tree,
  written: Omit<Written, "params">,
  others: readonly WritableTensor[],
): Promise<void> {
  return writeSafetensors(path, [...namedTensors("params", params), ...others], {
    [KEY]: JSON.stringify({ ...written, params: leaves(params).map(([name]) => name) }),
  });
}

/** An open state file. Its slots are read on demand. */
export interface TrainingState extends Disposable {
  /** Steps done. */
  readonly step: number;
  /** The caller's additional state. */
  readonly record: StateRecord;
  /** Optimizer state by "path/slot". */
  readonly slots: ReadonlyMap<string, SavedSlot>;
  /** The parameters on a backend. The caller owns them. */
  params(backend: Backend): Tree;
  /** The state of the method's `adjust`. The caller owns it. */
  state(backend: Backend): Tree;
}

/**
 * Opens a state file.
 *
 * @throws {SyntaxError} when the file is not a training state.
 * @example
 * ```ts
 * import { reference, tensor } from "@graft/peft";
 * import { openTrainingState, saveParams } from "@graft/peft/io";
 * import assert from "node:assert/strict";
 * const params = { w: tensor([1, 2], { backend: reference() }) };
 * const path = await Deno.makeTempFile({ suffix: ".safetensors" });
 * await saveParams(path, 30, params, { note: "the best so far" });
 * using saved = openTrainingState(path);
 * assert.deepEqual(saved.record, { note: "the best so far" });
 * await Deno.remove(path);
 * ```
 */
export function openTrainingState(path: string): TrainingState {
  const file = openSafetensors(path);
  try {
    const { step, slots, record, params, state = [] } = writtenIn(file, path);
    return {
      step,
      record,
      slots: new Map(
        slots.map(([name, dtype, shape], i) => [name, slotOf(file, slotName(name, i), dtype, shape)]),
      ),
      params: (backend) => scope((): Synchronous<Tree> => treeIn(file, "params", params, backend)),
      state: (backend) => scope((): Synchronous<Tree> => treeIn(file, "state", state, backend)),
      [Symbol.dispose]: () => file.close(),
    };
  } catch (error) {
    file.close();
    throw error;
  }
}

function writtenIn(file: SafetensorsFile, path: string): Written {
  const text = file.metadata.get(KEY);
  if (text === undefined) {
    throw syntaxError(
      "CANNOT_RESUME",
      `Cannot resume from ${path}: it is a safetensors file but no training state`,
    );
  }
  let written: Written;
  try {
    written = JSON.parse(text);
  } catch (cause) {
    throw syntaxError("CANNOT_RESUME", `Cannot resume from ${path}: its record is not JSON`, { cause });
  }
  const { step } = written;
  if (Number.isInteger(step) && step >= 0 && step <= MOST.steps) return written;
  throw rangeError(
    "CANNOT_RESUME",
    `Expected "step" in ${path} to be an integer from 0 to ${MOST.steps} but found ${step}`,
  );
}

function slotOf(file: SafetensorsFile, name: string, dtype: DType, shape: readonly number[]): SavedSlot {
  const stored = file.raw.get(name);
  if (stored === undefined) {
    throw syntaxError("CANNOT_RESUME", `Cannot resume: the state file has no "${name}"`);
  }
  const bytes = byteLength(dtype, shape);
  if (bytes !== stored.byteLength) {
    throw rangeError(
      "CANNOT_RESUME",
      `Cannot resume: "${name}" of the state file has ${stored.byteLength} bytes, but ${dtype} [${
        shape.join(", ")
      }] takes ${bytes}`,
    );
  }
  return {
    dtype,
    shape,
    get bytes() {
      return stored.read();
    },
  };
}

function treeIn(file: SafetensorsFile, folder: string, names: readonly string[], backend: Backend): Tree {
  return nest(names.map((name) => {
    const stored = file.tensors.get(`${folder}/${name}`);
    if (stored === undefined) {
      throw syntaxError("CANNOT_RESUME", `Cannot resume: the state file has no "${folder}/${name}"`);
    }
    return [name, fromBytes(stored.read(), stored.shape, stored.dtype, backend)] as const;
  })) as Tree;
}
