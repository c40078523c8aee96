/**
 * Shared by the codecs of matrix methods: the fields that choose layers, and which kinds of layer PEFT
 * adapts.
 */
import {
  type DefinedMethod,
  type HeadPlace,
  type LinearPlace,
  lookup,
  type MatrixPlace,
  type Shape,
  type Spec,
  type Tree,
} from "../../core/mod.ts";
import { type Filled, filled } from "../../core/options/mod.ts";
import type { PeftCodec, PeftFields, PeftTensor } from "./codec.ts";
import { rangeError } from "../../errors/error.ts";

/** Fields that narrow the targets, with PEFT's defaults. */
export const LAYER_FIELDS: PeftFields = {
  exclude_modules: null,
  modules_to_save: null,
  layers_to_transform: null,
  layers_pattern: null,
};

/**
 * The base's biases that are trained along with an adapter: those of the adapted layers, or all. The file has
 * the new bias itself, not a difference: `base_layer.bias` on an adapted layer, `bias` elsewhere.
 */
export function biasTensors(
  adapted: readonly MatrixPlace[],
  which: "adapted" | "all",
  spec: Spec,
): readonly PeftTensor[] {
  const paths = new Set(adapted.map((place) => place.path));
  return [...spec.linears, ...spec.norms, ...spec.heads]
    .filter((place) => place.bias && (which === "all" || paths.has(place.path)))
    .map((place) => ({
      path: `${place.path}.bias`,
      key: paths.has(place.path) ? `${place.path}.base_layer.bias` : `${place.path}.bias`,
      shape: [place.kind === "norm" ? place.width : place.outFeatures],
    }));
}

/**
 * The layer, if PEFT supports the method on its kind.
 *
 * @param conv1d Whether PEFT supports it on GPT-2's transposed layers.
 * @throws {RangeError} when PEFT does not.
 */
export function peftLayer(
  method: string,
  place: MatrixPlace,
  conv1d: "with Conv1D" | "without Conv1D",
): LinearPlace | HeadPlace {
  if (place.kind === "embedding") {
    throw rangeError(
      "CANNOT_SAVE",
      `PEFT has no ${method} on the embedding "${place.path}": leave it out of the targets`,
    );
  }
  if (conv1d === "without Conv1D" && place.kind === "linear" && place.transposed) {
    throw rangeError(
      "CANNOT_SAVE",
      `PEFT has no ${method} on "${place.path}", a Conv1D: leave it out of the targets`,
    );
  }
  return place;
}

/** Options with the defaults of their method. */
export function withDefaults<O>({ definition }: DefinedMethod<O>, options: O): Filled<O> {
  return filled(options as Readonly<Record<string, unknown>>, definition.options) as Filled<O>;
}

/** The shapes of a layer's parameters, by the options that they depend on. */
export function layerShapes<O>(
  method: DefinedMethod<O>,
  place: MatrixPlace,
  options: O,
): Readonly<Record<string, Shape>> {
  return method.definition.shapes!(place, withDefaults(method, options) as Record<string, unknown>);
}

/**
 * The tensors of a method of linear layers, under PEFT's names.
 *
 * @param key PEFT's name of a leaf.
 * @param conv1d Whether PEFT supports the method on GPT-2's transposed layers.
 */
export function layerTensors<O>(
  method: DefinedMethod<O>,
  key: (leaf: string) => string,
  conv1d: "with Conv1D" | "without Conv1D",
): PeftCodec<O>["tensors"] {
  const { title, name } = method.definition;
  return (places, options) =>
    places.flatMap((place) => {
      const { path } = peftLayer(title ?? name, place, conv1d);
      return Object.entries(layerShapes(method, place, options)).map(([leaf, shape]) => ({
        path: `${path}.${leaf}`,
        key: `${path}.${key(leaf)}`,
        shape,
      }));
    });
}

/** The layers at which parameters stand; a bias alone adapts nothing. */
export function placesIn(params: Tree, spec: Spec): readonly MatrixPlace[] {
  return [...spec.linears, ...spec.embeddings, ...spec.heads].filter((place) => {
    const found = lookup(params, place.path);
    return found !== undefined && Object.keys(found).some((name) => name !== "bias" && name !== "weight");
  });
}
