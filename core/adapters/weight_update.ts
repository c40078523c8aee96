/**
 * What an adapter does to weights, as differences of matrices: the form in which all mergeable methods can be
 * compared.
 */
import { scope, type Synchronous, type Tensor, type Tree } from "../../tensor/mod.ts";
import { add, addAll, concat, place as placeAt, subtract } from "../../ops/mod.ts";
import type { Edit, LinearEdit } from "../edits/edit.ts";
import { graft } from "./graft.ts";
import type { Factors } from "../linear_maps/linear_map.ts";
import { matrixAt } from "../places/matrix.ts";
import type { Adapter } from "./method.ts";
import type { Model } from "../trees/model.ts";
import { type MatrixPlace, sizesOf } from "../edits/targets.ts";
import { typeError } from "../../errors/error.ts";

/** ΔW of one layer. The caller owns the tensors that the functions return. */
export interface WeightUpdate {
  /** The layer. */
  readonly place: MatrixPlace;
  /** ΔW [out, in], f32; of an embedding [width, rows]. */
  matrix(): Tensor;
  /** ΔW = b a with as few columns as the adapter has, where it consists of low-rank products alone. */
  factors?(): Factors;
}

/**
 * ΔW = W' − W of each layer that an adapter changes, in the model's order. Sums of low-rank and other added
 * maps are exact; updates that scale or rotate the weights are computed as a difference, with the weights'
 * rounding errors.
 *
 * @throws {TypeError} at an edit that changes anything but layers' matrices.
 * @example
 * ```ts
 * import { adapt, freshModel, lora, reference, smallConfig, weightUpdates } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const updates = weightUpdates(model, adapt(model, lora({ rank: 2, initialization: "none" })));
 * assert.equal(updates.length, 4); // q and v in two layers
 * assert.deepEqual(updates[0]!.matrix().shape, [16, 16]);
 * assert.deepEqual(updates[0]!.factors!().a.shape, [2, 16]);
 * ```
 */
export function weightUpdates<P extends Tree>(
  model: Model,
  adapter: Adapter<P>,
): readonly WeightUpdate[] {
  const { spec } = model;
  const edits = adapter.method.edits(adapter.params, spec);
  const places: readonly MatrixPlace[] = [...spec.linears, ...spec.embeddings, ...spec.heads];
  const changed = new Map<MatrixPlace, Edit[]>();
  for (const edit of edits) {
    const place = changedBy(edit, places, adapter.method.name);
    changed.set(place, [...changed.get(place) ?? [], edit]);
  }
  return places.flatMap((place) => {
    const here = changed.get(place);
    if (here === undefined) return [];
    const added = here.flatMap((edit) =>
      edit.kind === "linear" && edit.change.form === "add" ? [addition(edit, place)] : []
    );
    if (added.length < here.length) {
      const matrix = (): Tensor =>
        scope((): Synchronous<Tensor> =>
          subtract(matrixAt(graft(model, adapter), place), matrixAt(model, place))
        );
      return [{ place, matrix }];
    }
    const factored = added.flatMap(({ factors }) => factors === undefined ? [] : [factors]);
    return [{
      place,
      matrix: () => scope((): Synchronous<Tensor> => addAll(added.map(({ matrix }) => matrix()))),
      ...factored.length === added.length && {
        factors: () => scope((): Synchronous<Factors> => joined(factored.map((factors) => factors()))),
      },
    }];
  });
}

/**
 * Several products concatenated into one that equals their sum.
 *
 * @example
 * ```ts
 * import { joined, read, reference, tensor } from "@graft/peft";
 * import { matmul } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const product = (n: number) => ({ a: tensor([[n, n]], { backend }), b: tensor([[1]], { backend }) });
 * const { a, b } = joined([product(1), product(10)]);
 * assert.deepEqual([...await read(matmul(b, a))], [11, 11]); // the sum of both products
 * ```
 */
export function joined(parts: readonly Factors[]): Factors {
  return { a: concat(parts.map(({ a }) => a), 0), b: concat(parts.map(({ b }) => b), 1) };
}

function addition(edit: LinearEdit, place: MatrixPlace): Omit<WeightUpdate, "place"> {
  const { map } = edit.change as Extract<LinearEdit["change"], { form: "add" }>;
  const rows = (t: Tensor): Tensor =>
    edit.out === undefined ? add(t, 0) : placeAt(t, 0, edit.out[0], sizesOf(place).outFeatures);
  return {
    matrix: () => rows(map.weight()),
    ...map.factors && {
      factors: () => {
        const { a, b } = map.factors!();
        return { a: add(a, 0), b: rows(b) };
      },
    },
  };
}

/** The layer whose matrix an edit changes. */
function changedBy(edit: Edit, places: readonly MatrixPlace[], method: string): MatrixPlace {
  const refuse = (what: string): never => {
    throw typeError(
      "CANNOT_SAVE",
      `Cannot write ${method} as updates of matrices: its edit at "${edit.path}" ${what}`,
    );
  };
  switch (edit.kind) {
    case "linear": {
      const place = places.find((place) => place.path === edit.path);
      if (place === undefined) return refuse("is at no layer of the model");
      if (edit.change.form === "bias") return refuse("changes a bias");
      const { change } = edit;
      const outputs = change.form === "output" || change.form === "scale" && change.out !== undefined ||
        change.form === "delta" && change.bias !== undefined;
      return outputs && "bias" in place && place.bias ? refuse("changes the bias too") : place;
    }
    case "weight": {
      const place = places.find((place) => `${place.path}.weight` === edit.path);
      if (place === undefined) return refuse("changes a weight that is no layer's matrix");
      const tied = places.some((other) => other.kind === "head" && other.tiedTo === place.path);
      return tied ? refuse("changes an embedding and the head that is tied to it") : place;
    }
    default:
      return refuse(`is a ${edit.kind}, which no weight holds`);
  }
}
