/**
 * An adapter in the form of plain LoRA, for tools that support only that: for each layer A, B and s with ΔW =
 * s B A. Exact where the adapter consists of low-rank products (LoRA, AdaLoRA, sums of them); otherwise
 * truncated to a rank or an error bound.
 */
import {
  type Adapter,
  dispose,
  type Factors,
  lookup,
  type MatrixPlace,
  type Method,
  type Model,
  needsChangedBase,
  Tensor,
  type WeightUpdate,
  weightUpdates,
} from "../../core/mod.ts";
import { lora, loraScale } from "./lora.ts";
import { type Limit, toLora } from "./to_lora.ts";
import { typeError } from "../../errors/error.ts";

/** One layer: ΔW = s B A with A [r, in] and B [out, r]; for an embedding [r, rows] and [width, r]. */
export interface LoraLayer extends Factors {
  /** The layer. */
  readonly place: MatrixPlace;
  /** s. */
  readonly scale: number;
}

/** An adapter as plain LoRA. */
export interface LoraForm {
  /** The layers that the adapter changes, in the model's order. */
  readonly layers: readonly LoraLayer[];
  /** ‖ΔW − s B A‖ / ‖ΔW‖ over all layers; 0 where nothing was truncated. */
  readonly error: number;
  /**
   * Frees the factors that were computed for this; those of a LoRA adapter are its parameters and are kept.
   */
  dispose(): void;
}

/**
 * An adapter as plain LoRA.
 *
 * @param limit How far to truncate; default: not at all.
 * @throws {TypeError} when the adapter changes anything but matrices, belongs to a changed base (PiSSA,
 * say), or is not a low-rank product and no limit is given; the message says what to do.
 * @example
 * ```ts
 * import { adapt, freshModel, lora, loraForm, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const form = await loraForm(model, adapt(model, lora({ rank: 2, initialization: "none" })));
 * assert.equal(form.error, 0);
 * assert.deepEqual(form.layers[0]!.a.shape, [2, 16]);
 * form.dispose();
 * ```
 */
export async function loraForm(model: Model, adapter: Adapter, limit?: Limit): Promise<LoraForm> {
  const { name } = adapter.method;
  if (needsChangedBase(adapter.method)) {
    throw typeError(
      "CANNOT_SAVE",
      `Cannot write "${name}" as LoRA: its adapter is right on the changed base alone; use what onOriginal makes of it, LoRA ` +
        "of the original base with twice the rank, or merge it",
    );
  }
  if (limit !== undefined) {
    const { adapter: cut, error } = await toLora(model, adapter, limit);
    const layers = weightUpdates(model, cut).map(({ place }) => ownLayer(cut, place)!);
    return { layers, error, dispose: () => dispose(cut.params) };
  }
  const updates = weightUpdates(model, adapter);
  const own = ["lora", "lora-plus"].includes(name)
    ? updates.flatMap(({ place }) => ownLayer(adapter, place) ?? [])
    : [];
  if (own.length === updates.length) return { layers: own, error: 0, dispose: () => {} };
  const whole = updates.find(({ factors }) => factors === undefined);
  if (whole !== undefined) {
    throw typeError(
      "CANNOT_SAVE",
      `Cannot write "${name}" as LoRA without loss: its update of "${whole.place.path}" is no low-rank product; give a rank or ` +
        "an error bound to cut it to ({ rank: 8 } or { error: 0.01 }), or merge it",
    );
  }
  const layers = updates.map((update) => ({ ...factorsOf(update), place: update.place, scale: 1 }));
  return { layers, error: 0, dispose: () => dispose(layers.map(({ a, b }) => [a, b])) };
}

/** LoRA's own parameters at a layer. */
function ownLayer({ method, params }: Adapter, place: MatrixPlace): LoraLayer | undefined {
  const [a, b] = ["a", "b"].map((slot) => lookup(params, `${place.path}.${slot}`));
  if (!(a instanceof Tensor && b instanceof Tensor)) return undefined;
  return { place, a, b, scale: loraScale(place.path, method.config) };
}

function factorsOf({ factors }: WeightUpdate): Factors {
  return factors!();
}

/**
 * LoRA of layers with given ranks, where s is α / r for each: what a file of factors holds.
 *
 * @param ranks The rank of each layer, by path.
 * @param options α of all layers, by default the rank of each; and names that choose the layers.
 * @example
 * ```ts
 * import { loraOfRanks } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const method = loraOfRanks({ "layers.0.q_proj": 4, "layers.1.q_proj": 2 }, { targets: ["q_proj"] });
 * assert.deepEqual([method.config["rank"], method.config["rankPattern"]], [4, { "layers.1.q_proj": 2 }]);
 * ```
 */
export function loraOfRanks(
  ranks: Readonly<Record<string, number>>,
  { alpha, targets }: { readonly alpha?: number; readonly targets: readonly string[] },
): Method {
  const rank = Math.max(...Object.values(ranks));
  const others = Object.fromEntries(Object.entries(ranks).filter(([, own]) => own !== rank));
  const differ = Object.keys(others).length > 0;
  return lora({
    rank,
    alpha: alpha ?? rank,
    targets,
    ...differ && { rankPattern: others },
    ...differ && alpha === undefined && { alphaPattern: others },
  });
}
