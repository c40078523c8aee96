/** The tensors of a checkpoint by their paths in a model, and their conversion to leaves. */
import {
  type Backend,
  castWeight,
  castWeightShape,
  type DType,
  fromBytes,
  fromChunks,
  isQuantized,
  lazy,
  scope,
  type Tensor,
} from "../core/mod.ts";
import type { StoredTensor } from "../formats/tensor_file.ts";
import type { KnownArchitecture } from "../models/mod.ts";
import { rangeError } from "../errors/error.ts";

/**
 * Each tensor that the model uses, with its path. Stored buffers and tied heads are skipped.
 *
 * @param holder The container of the tensors, for the error message.
 * @throws {RangeError} on a tensor that the model has no place for.
 */
export function* checkpointTensors(
  tensors: Iterable<StoredTensor>,
  { architecture, spec, weightPath }: KnownArchitecture,
  holder: "The checkpoint has" | "The weights have",
): Generator<readonly [path: string, stored: StoredTensor]> {
  const places = [...spec.linears, ...spec.norms, ...spec.embeddings, ...spec.heads];
  const known = new Set(places.flatMap(({ path }) => [`${path}.weight`, `${path}.bias`]));
  const tied = new Set(spec.heads.filter((h) => h.tiedTo !== undefined).map((h) => `${h.path}.weight`));
  for (const stored of tensors) {
    const path = weightPath(stored.name);
    if (path === undefined || tied.has(path)) continue;
    if (!known.has(path)) {
      throw rangeError(
        "CHECKPOINT_INVALID",
        `${holder} a tensor "${stored.name}" that no place of ${architecture.name} takes`,
      );
    }
    yield [path, stored];
  }
}

/** Where a leaf is stored, and when it is read. */
export interface LeafOptions {
  readonly backend: Backend;
  /** Dtype of unquantized matrices; default: as stored. */
  readonly dtype?: DType;
  readonly leaves?: "lazy";
  /** Codes become plain numbers. */
  readonly codes?: "decoded";
}

/**
 * A stored tensor as a leaf (with `inOut` if its unquantized layout is [in, out]): with the dtype `planned`,
 * else vectors as f32 and quantized matrices as stored.
 */
export function storedLeaf(
  stored: StoredTensor,
  inOut: boolean,
  { backend, dtype, leaves, codes }: LeafOptions,
  planned?: DType,
): Tensor {
  const { shape, dtype: own } = stored;
  const wanted = planned ??
    (shape.length < 2
      ? "f32"
      : isQuantized(own)
      ? codes === "decoded" ? stored.decodesTo ?? dtype ?? "f32" : own
      : dtype ?? own);
  const asStored = (): Tensor =>
    stored.chunks === undefined
      ? fromBytes(stored.read(), shape, own, backend)
      : fromChunks(stored.chunks(), shape, own, backend);
  const load = (): Tensor => scope(() => castWeight(asStored(), wanted, inOut));
  return leaves === undefined ? load() : lazy(backend, castWeightShape(stored, wanted, inOut), wanted, load);
}
