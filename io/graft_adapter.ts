/**
 * Adapters in graft's own folder format, for methods that other formats cannot represent:
 * `adapter_model.safetensors` has the parameters under their own paths, `adapter_config.json` the method and
 * its options, from which it is rebuilt.
 *
 * The indices of a mask are stored as encoded gaps (`<name>.gaps`).
 *
 *     { "graft": { "version": 2, "method": "houlsby", "config": { "reduction": 16, … } }, "base_model_name_or_path": … }
 */
import { mkdir, readFile } from "node:fs/promises";
import {
  type Adapter,
  allocate,
  bytesOf,
  castTo,
  forgetBackend,
  fromBytes,
  isQuantized,
  leaves,
  mapTree,
  type Method,
  type Model,
  nest,
  newModel,
  scope,
  type Synchronous,
  type Tensor,
  trainable,
  type Tree,
  weightLeaves,
} from "../core/mod.ts";
import { writeTextAtomically } from "../formats/atomic_write.ts";
import { PEFT_FILES } from "../formats/peft_keys.ts";
import { isStrictlyIncreasing, packIncreasing, unpackIncreasing } from "../formats/delta_encoding.ts";
import { openSafetensors } from "../formats/safetensors.ts";
import { writeSafetensors } from "../formats/safetensors_write.ts";
import { isObject, parseJson } from "../formats/strict_json.ts";
import type { StoredTensor } from "../formats/tensor_file.ts";
import { taskType } from "../models/mod.ts";
import { integers, shapesOnly } from "../ops/mod.ts";
import { adapterCard, type Making } from "./adapter_card.ts";
import { onDerivedBase, withoutDerivedBase } from "./derived_base.ts";
import { differences } from "./tree_differences.ts";
import { replicationField } from "./layer_replication.ts";
import { type KnownMethods, knownMethods } from "./records/known_methods.ts";
import {
  methodOfRecord,
  type MethodRecord,
  recordOf,
  recordsIn,
  type Stored,
} from "./records/method_record.ts";
import { fromVersion1 } from "./records/version_1.ts";
import { rangeError, syntaxError, typeError, withCode } from "../errors/error.ts";

const VERSION = 2;

/** The suffix of the name of increasing integers that are stored as encoded gaps: a mask's indices. */
const GAPS = ".gaps";

/**
 * Saves an adapter in graft's own format.
 *
 * @throws {TypeError} when its method or an option cannot be serialized.
 * @throws {RangeError} when its parameters are not those of the method on this model, because it was
 * narrowed.
 */
export async function saveGraftAdapter(
  folder: string,
  adapter: Adapter,
  model: Model,
  card: Making = {},
  known: KnownMethods = knownMethods(),
): Promise<void> {
  const { method, params } = withoutDerivedBase(adapter);
  const record = recordOf(method, model.spec);
  const own = leaves(params);
  const quantized = own.find(([, leaf]) => isQuantized(leaf.dtype));
  if (quantized !== undefined) {
    const [path, { dtype }] = quantized;
    throw typeError(
      "CANNOT_SAVE",
      `Cannot save ${method.name}: "${path}" is quantized as ${dtype}, which our own form has no place for; ` +
        "merge the adapter and save the model instead",
    );
  }
  const masks = new Map<string, Int32Array>();
  for (const [path, leaf] of own) if (leaf.dtype === "i32") masks.set(path, integersOf(await bytesOf(leaf)));
  let problems: readonly string[] = [];
  scope(() => {
    const again = methodOfRecord(record, heldBy(params, model, masks), known);
    problems = differences(again.init({ model, key: 0 }), params);
    if (problems.length > 0) return;
    const own = new Set(method.edits(params, model.spec).map(({ path }) => path));
    const other = again.edits(params, model.spec).find(({ path }) => !own.has(path));
    if (other !== undefined) problems = [`it leaves "${other.path}" as it is, where they change it`];
  });
  if (problems.length > 0) {
    throw rangeError(
      "CANNOT_SAVE",
      `Cannot save ${method.name}, which its options do not describe: ${problems.join("; ")}`,
    );
  }
  await mkdir(folder, { recursive: true });
  await writeSafetensors(
    `${folder}/${PEFT_FILES.weights}`,
    own.map(([name, leaf]) => {
      const mask = masks.get(name);
      if (mask === undefined || !isStrictlyIncreasing(mask)) {
        const { dtype, shape } = leaf;
        return { name, dtype, shape, byteLength: leaf.storage.bytes, read: () => bytesOf(leaf) };
      }
      const bytes = packIncreasing(mask);
      const shape = [bytes.length];
      return {
        name: `${name}${GAPS}`,
        dtype: "u8" as const,
        shape,
        byteLength: bytes.length,
        read: () => bytes,
      };
    }),
  );
  const config = {
    graft: { version: VERSION, ...record },
    base_model_name_or_path: model.source ?? null,
    task_type: taskType(model),
    ...replicationField(model),
  };
  await writeTextAtomically(`${folder}/${PEFT_FILES.config}`, `${JSON.stringify(config, null, 2)}\n`);
  const text = adapterCard({
    base: model.source,
    method: method.name,
    trained: leaves(trainable(params)).reduce((n, [, leaf]) => n + leaf.size, 0),
    ofBase: weightLeaves(model.weights).reduce((n, [, leaf]) => n + leaf.size, 0),
    ...card,
  });
  await writeTextAtomically(`${folder}/README.md`, text);
}

/** The record of a folder in graft's own format; undefined where the config is another program's. */
export async function graftRecord(folder: string): Promise<MethodRecord | undefined> {
  const path = `${folder}/${PEFT_FILES.config}`;
  const config = parseJson(path, await readFile(path));
  const record = isObject(config) ? config["graft"] : undefined;
  if (record === undefined) return undefined;
  if (!isObject(record) || typeof record["method"] !== "string") {
    throw syntaxError("FILE_INVALID", `Cannot read ${path}: "graft" must be an object with a "method"`);
  }
  const { version, method, ...rest } = record;
  if (version !== 1 && version !== VERSION) {
    throw rangeError(
      "FILE_INVALID",
      `Cannot read ${path}: it is of version ${
        JSON.stringify(version)
      }, and this program reads 1 and ${VERSION}`,
    );
  }
  return version === 1 ? fromVersion1({ method, ...rest }) : { method, ...rest } as MethodRecord;
}

/**
 * Loads an adapter in graft's own format. LoftQ's base is quantized again, layer by layer, and becomes part
 * of the adapter. Obsolete leaves that the method no longer has are ignored.
 *
 * @throws {RangeError} when a tensor is missing, unexpected or of the wrong shape; the message names it.
 */
export async function loadGraftAdapter(
  folder: string,
  record: MethodRecord,
  model: Model,
  name: string,
  known: KnownMethods = knownMethods(),
): Promise<Adapter> {
  const file = openSafetensors(`${folder}/${PEFT_FILES.weights}`);
  try {
    const former = recordsIn(record).flatMap(({ method }) => known.find(method)?.former ?? []);
    const stored = [...file.tensors.values()].filter(({ name }) =>
      !former.some((isFormer) => isFormer(name, model.spec))
    );
    const masks = new Map(
      stored.flatMap((t): readonly (readonly [string, Int32Array])[] =>
        isGaps(t)
          ? [[nameOf(t), unpackIncreasing(t.read())]]
          : t.dtype === "i32"
          ? [[t.name, integersOf(t.read())]]
          : []
      ),
    );
    checkShapes(folder, record, stored, masks, model, known);
    let method: Method | undefined;
    const params = scope((): Synchronous<Tree> => {
      const found = nest(
        stored.map((t) =>
          [nameOf(t), isGaps(t) ? integers(masks.get(nameOf(t))!, model.backend) : load(t, model)] as const
        ),
      ) as Tree;
      method = methodOfRecord(record, heldBy(found, model, masks), known);
      const fresh = method.init({ model, key: 0 });
      // The fresh tree's order, and its branches without leaves.
      const byPath = new Map(leaves(found));
      return mapTree(fresh, (_, path) => byPath.get(path)!) as Synchronous<Tree>;
    });
    const loaded: Adapter = { name, method: method!, params };
    return await onDerivedBase(loaded, record, model, known);
  } finally {
    file.close();
  }
}

/**
 * Compares what the record describes with what is stored by shapes alone: sizes that the file does not bear out take no memory.
 *
 * @throws {RangeError} naming what is missing, unexpected or of the wrong shape.
 */
function checkShapes(
  folder: string,
  record: MethodRecord,
  stored: readonly StoredTensor[],
  masks: ReadonlyMap<string, Int32Array>,
  model: Model,
  known: KnownMethods,
): void {
  const backend = shapesOnly();
  scope(() => {
    const empty = ({ shape, dtype }: Pick<Tensor, "shape" | "dtype">): Tensor =>
      allocate(backend, shape, dtype);
    const weights = weightLeaves(model.weights).map(([path, leaf]) => [path, empty(leaf)] as const);
    const { architecture, spec, config } = model;
    const shapes = newModel({ architecture, spec, config, weights, backend });
    const found = nest(stored.map((t) => {
      if (isGaps(t)) {
        return [nameOf(t), empty({ shape: [masks.get(nameOf(t))!.length], dtype: "i32" })] as const;
      }
      const dtype = t.dtype === "i32" || t.dtype === "u8" ? t.dtype : "f32";
      return [t.name, empty({ shape: t.shape, dtype })] as const;
    })) as Tree;
    try {
      const method = methodInFile(folder, record, heldBy(found, shapes, masks), known);
      const problems = differences(method.init({ model: shapes, key: 0 }), found);
      if (problems.length > 0) {
        throw rangeError(
          "ADAPTER_MISMATCH",
          `Cannot load "${folder}" for this model: ${problems.join("; ")}`,
        );
      }
    } finally {
      shapes.dispose();
    }
  });
  forgetBackend(backend);
}

/** The method of a record in a folder's config, which an error about the record names. */
function methodInFile(folder: string, record: MethodRecord, stored: Stored, known: KnownMethods): Method {
  try {
    return methodOfRecord(record, stored, known);
  } catch (error) {
    const { message = "" } = error as Error;
    const Kind = [RangeError, TypeError, SyntaxError].find((kind) => error instanceof kind);
    if (Kind === undefined || message.startsWith("Cannot ")) throw error;
    throw withCode(
      "FILE_INVALID",
      new Kind(`Cannot read ${folder}/${PEFT_FILES.config}: ${message}`, { cause: error }),
    );
  }
}

const heldBy = (params: Tree, model: Model, masks: ReadonlyMap<string, Int32Array>): Stored => ({
  model,
  params,
  at: "",
  integers: (path) => {
    const found = masks.get(path);
    if (found === undefined) throw rangeError("ADAPTER_MISMATCH", `The adapter has no integers "${path}"`);
    return found;
  },
});

const isGaps = ({ name, dtype }: StoredTensor): boolean => dtype === "u8" && name.endsWith(GAPS);
const nameOf = (stored: StoredTensor): string =>
  isGaps(stored) ? stored.name.slice(0, -GAPS.length) : stored.name;

function load(stored: StoredTensor, { backend }: Model): Tensor {
  return scope((): Synchronous<Tensor> => {
    const t = fromBytes(stored.read(), stored.shape, stored.dtype, backend);
    return ["i32", "u8"].includes(stored.dtype) ? t : castTo(t, "f32");
  });
}

const integersOf = (bytes: Uint8Array): Int32Array => new Int32Array(bytes.slice().buffer);
