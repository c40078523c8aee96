/** `merge` and `unmerge`: write an adapter into the weights, and take it out again. */
import {
  type DType,
  isQuantized,
  keep,
  lazy,
  owned,
  scope,
  type Shape,
  type Synchronous,
  Tensor,
  transiently,
  type Tree,
} from "../../tensor/mod.ts";
import { add, transpose, zeros } from "../../ops/mod.ts";
import { castWeight, castWeightShape, isStoredTransposed } from "../trees/matrix_layout.ts";
import { foldLinear } from "../edits/fold.ts";
import { bareLayer, type Layer } from "../edits/layer.ts";
import { decoded, dense } from "../linear_maps/linear_map.ts";
import type { Edit, LinearEdit, WeightEdit } from "../edits/edit.ts";
import { atPlace, branchOf, checkDepth, checkShape, checkSizes } from "../trees/edit_checks.ts";
import type { Adapter } from "./method.ts";
import type { Model } from "../trees/model.ts";
import type { Spec } from "../edits/place.ts";
import { EDITS, lookup, setLeaves } from "../trees/weights.ts";
import { inverse } from "./inverse_edit.ts";
import { typeError } from "../../errors/error.ts";

/** How to store merged weights. */
export interface MergeOptions {
  /**
   * Dtype of the weights that change: "f32" (default, exact), "same" as the base (which re-quantizes a quantized base and
   * loses precision), or any dtype.
   */
  readonly dtype?: DType | "same";
  /**
   * "lazy": weights are merged when first read, for models that are only written to disk. The adapter must
   * then live as long as the merged model. Default: merged immediately.
   */
  readonly leaves?: "lazy";
}

/**
 * A plain model with the adapter's updates in its weights: the same function, no overhead. The base is not
 * changed. On a quantized base the merged weights are the dequantized weights plus the update.
 *
 * @throws {TypeError} at the first edit that has no weight form (prefixes, bottleneck adapters, gates on the input).
 * @example
 * ```ts
 * import {
 *   adapt, allEdits, forward, freshModel, graft, lora, merge, type Model, read, reference,
 *   smallConfig,
 * } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const adapter = adapt(model, lora({ rank: 2, initialization: "none" }));
 * const [beside, inside] = [graft(model, adapter), merge(model, adapter)];
 * const scores = (m: Model) => read(forward(m, { inputIds: [[1, 2, 3]] }).logits);
 * const [expected, found] = [await scores(beside), await scores(inside)];
 * assert.ok(expected.every((x, i) => Math.abs(x - found[i]!) < 1e-5));
 * assert.equal(allEdits(inside.weights).length, 0); // a plain model
 * ```
 */
export function merge<M extends Model, P extends Tree>(
  model: M,
  adapter: Adapter<P>,
  options: MergeOptions = {},
): M {
  return rewritten(model, () => editsOn(model, adapter), options);
}

/** The adapter's edits, after checking that the model has enough blocks. */
function editsOn<P extends Tree>({ spec }: Model, { method, params }: Adapter<P>): readonly Edit[] {
  checkDepth(params, spec, "Cannot merge the adapter");
  return method.edits(params, spec);
}

/**
 * The model that `merge` was given, within rounding: updates are subtracted, scales divided out. For the
 * exact base keep the model you merged from, which `merge` never changes.
 *
 * @throws {TypeError} at an edit that cannot be undone from the merged weights alone.
 * @example
 * ```ts
 * import {
 *   adapt, freshModel, lookup, lora, merge, type Model, read, reference, smallConfig, Tensor, unmerge,
 * } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const adapter = adapt(model, lora({ rank: 2, initialization: "none" }));
 * const back = unmerge(merge(model, adapter), adapter);
 * const query = (m: Model) => read(lookup(m.weights, "model.layers.0.self_attn.q_proj.weight") as Tensor);
 * const [expected, found] = [await query(model), await query(back)];
 * assert.ok(expected.every((x, i) => Math.abs(x - found[i]!) < 1e-6)); // within f32's rounding
 * ```
 */
export function unmerge<M extends Model, P extends Tree>(
  model: M,
  adapter: Adapter<P>,
  options: MergeOptions = {},
): M {
  const undone = (): readonly Edit[] => [...editsOn(model, adapter)].reverse().map(inverse);
  return rewritten(model, undone, options);
}

function rewritten<M extends Model>(model: M, editsOf: () => readonly Edit[], options: MergeOptions): M {
  const root = keep(scope((): Synchronous<Record<string, Tensor>> => {
    const edits = editsOf();
    for (const edit of edits) {
      branchOf(model.weights, edit, "Cannot merge the adapter");
      refuseGrafted(edit, model);
    }
    checkSizes(edits, model.spec, "Cannot merge the adapter");
    if (options.leaves === undefined) {
      return Object.fromEntries([...changedBy(edits, model)].map(([path, leaf]) => {
        // Tensors that the adapter or the base owns are copied, so that the merged model outlives the adapter
        // and frees neither.
        const dtype = storedAs(path, leaf, model, options);
        return [path, owned(castWeight(leaf, dtype, isStoredTransposed(model.spec, path)))];
      }));
    }
    const shapes = scope(() => shapesOf(edits, model));
    return Object.fromEntries(shapes.map(([path, leaf]) => {
      const inOut = isStoredTransposed(model.spec, path);
      const dtype = storedAs(path, leaf, model, options);
      const make = (): Tensor => {
        const own = editsOf().filter((edit) => concerns(edit, path, model.spec));
        return castWeight(changedBy(own, model).get(path)!, dtype, inOut);
      };
      return [path, lazy(model.backend, castWeightShape(leaf, dtype, inOut), dtype, make)];
    }));
  }));
  const weights = setLeaves(model.weights, Object.entries(root.tree));
  return { ...model, spec: withOwnBlocks(model.spec), weights, dispose: () => root.dispose() };
}

/** The places of a model whose blocks have weights of their own, none shared with another model's block. */
function withOwnBlocks(spec: Spec): Spec {
  if (spec.blocks.every(({ of }) => of === undefined)) return spec;
  return { ...spec, blocks: spec.blocks.map(({ of: _, ...block }) => block) };
}

/** The leaves that edits change. */
function changedBy(edits: readonly Edit[], model: Model): ReadonlyMap<string, Tensor> {
  const changed = new Map<string, Tensor>();
  // As in the forward pass, where weight edits come before the layer's own edits.
  const weightsFirst = [
    ...edits.filter((edit) => edit.kind === "weight"),
    ...edits.filter((edit) => edit.kind !== "weight"),
  ];
  for (const edit of weightsFirst) {
    for (const [path, leaf] of atPlace(edit.path, () => apply(edit, model, changed))) changed.set(path, leaf);
  }
  return changed;
}

/**
 * The leaves that edits change, with shapes and dtypes: computed one place at a time, so that the leaves of
 * two places are never in memory together.
 */
function shapesOf(
  edits: readonly Edit[],
  model: Model,
): readonly (readonly [path: string, leaf: { readonly shape: Shape; readonly dtype: DType }])[] {
  const places = [...new Set(edits.map(placeOf))];
  const found = new Map<string, { readonly shape: Shape; readonly dtype: DType }>();
  for (const place of places) {
    transiently(() =>
      scope(() => {
        const own = changedBy(edits.filter((edit) => placeOf(edit) === place), model);
        for (const [path, leaf] of own) found.set(path, { shape: leaf.shape, dtype: leaf.dtype });
      })
    );
  }
  return [...found];
}

/** Whether an edit affects a leaf: it is at the leaf's place, or at the embedding that a tied head shares. */
function concerns(edit: Edit, leaf: string, spec: Spec): boolean {
  const place = leaf.replace(/(^|\.)[^.]*$/, "");
  const tiedTo = spec.heads.find((head) => head.path === place)?.tiedTo;
  return placeOf(edit) === place || placeOf(edit) === tiedTo;
}

const placeOf = (edit: Edit): string =>
  edit.kind === "weight" ? edit.path.replace(/(^|\.)[^.]*$/, "") : edit.path;

/** The dtype that a merged leaf is stored in. */
export function storedAs(
  path: string,
  leaf: { readonly shape: Shape },
  model: Model,
  options: MergeOptions,
): DType {
  const base = lookup(model.weights, path);
  const same = base instanceof Tensor ? base.dtype : "f32";
  const dtype = options.dtype === "same" ? same : options.dtype ?? "f32";
  return leaf.shape.length < 2 && isQuantized(dtype) ? "f32" : dtype;
}

/** An edit that was grafted earlier would be applied after the merged one, which is a different function. */
function refuseGrafted(edit: Edit, model: Model): void {
  if (edit.row !== undefined) {
    throw typeError("CANNOT_MERGE", `Cannot merge adapters by rows: merge the adapter "${edit.row}" alone`);
  }
  const branch = lookup(model.weights, placeOf(edit));
  if (branch !== undefined && !(branch instanceof Tensor) && (branch[EDITS]?.length ?? 0) > 0) {
    throw typeError(
      "CANNOT_MERGE",
      `Cannot merge the edit at "${edit.path}": another adapter is grafted there; merge it first, or both composed`,
    );
  }
}

/** The tensor with which an edit replaces a leaf. */
function replaced(edit: WeightEdit, leaf: Tensor): Tensor {
  const found = edit.map.run({ weight: leaf });
  checkShape(edit.path, found, leaf);
  return found;
}

/** The leaves that one edit changes, given those changed so far. */
function apply(
  edit: Edit,
  model: Model,
  changed: ReadonlyMap<string, Tensor>,
): readonly (readonly [string, Tensor])[] {
  const leaf = (path: string): Tensor | undefined => {
    const found = changed.get(path) ?? lookup(model.weights, path);
    return found instanceof Tensor ? found : undefined;
  };
  const plain = (path: string): Tensor | undefined => {
    const found = leaf(path);
    return found && isQuantized(found.dtype) && isStoredTransposed(model.spec, path)
      ? castWeight(found, "f32", true)
      : found;
  };
  switch (edit.kind) {
    case "weight":
      return [[
        edit.path,
        replaced(edit, plain(edit.path) ?? zeros(edit.adds!, model.backend)),
      ]];
    case "linear": {
      const { weightPath, transposed } = matrixOf(edit, model.spec);
      const biasPath = `${edit.path}.bias`;
      const bias = leaf(biasPath);
      const tiedTo = model.spec.heads.find((head) => head.path === edit.path)?.tiedTo;
      const stored = leaf(weightPath) ?? leaf(`${tiedTo}.weight`)!;
      const base: Layer = bareLayer(
        dense(
          stored,
          transposed && (!isQuantized(stored.dtype) || !isStoredTransposed(model.spec, weightPath)),
        ),
        bias === undefined ? undefined : decoded(bias),
      );
      const next = foldLinear(base, edit, undefined);
      const biased = edit.change.form === "bias";
      // An embedding table has no bias, so it is added to each row.
      const tabled = biased && model.spec.embeddings.some((place) => place.path === edit.path);
      const matrix = tabled ? add(decoded(stored), next.bias()!) : next.weight();
      const vector = !tabled && (biased || bias !== undefined) ? next.bias() : undefined;
      // An edit of the embedding does not apply to the tied head, which from here on has a matrix of its own.
      const untied = model.spec.heads
        .map((head) => ({ head: `${head.path}.weight`, tiedTo: head.tiedTo }))
        .filter(({ head, tiedTo }) => tiedTo === edit.path && leaf(head) === undefined);
      return [
        ...untied.map(({ head }) => [head, stored] as const),
        ...biased && !tabled
          ? []
          : [[weightPath, transposed && !tabled ? transpose(matrix) : matrix] as const],
        ...vector === undefined || vector === bias ? [] : [[biasPath, vector] as const],
      ];
    }
    case "hidden":
    case "prefix":
    case "prompt":
    case "side":
    case "prepass":
      throw typeError(
        "CANNOT_MERGE",
        `Cannot merge the ${edit.kind} edit at "${edit.path}": no weight can hold it; keep the adapter beside the model`,
      );
    default:
      return edit satisfies never;
  }
}

/** Path of a linear edit's matrix, and whether it is stored [in, out]. */
function matrixOf(
  edit: LinearEdit,
  spec: Spec,
): { readonly weightPath: string; readonly transposed: boolean } {
  const weightPath = `${edit.path}.weight`;
  const place = spec.linears.find((place) => place.path === edit.path);
  if (place !== undefined) return { weightPath, transposed: place.transposed };
  // An embedding's table [rows, width] is the transpose of the matrix that maps one-hot ids.
  if (spec.embeddings.some((place) => place.path === edit.path)) return { weightPath, transposed: true };
  return { weightPath, transposed: false };
}
