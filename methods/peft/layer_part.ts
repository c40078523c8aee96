/** A codec bound to options and to the layers of a model, so that generic code sees tensors and fields alone. */
import {
  chooseTargets,
  type MatrixPlace,
  type Model,
  type Spec,
  type TargetOptions,
} from "../../core/mod.ts";
import { knownFields, type PeftConfig } from "../../formats/peft_config.ts";
import type { MainPart, PeftCodec, PeftFields, ReadPart } from "./codec.ts";
import { resolvedPatterns, withOurPatterns, withPythonPatterns } from "./patterns.ts";
import { placesInPeft } from "./places.ts";
import { layersOfFields } from "./targets.ts";

/** A codec with options, on layers. */
export function mainPart<O>(
  codec: PeftCodec<O>,
  options: O,
  places: readonly MatrixPlace[],
  spec: Spec,
): MainPart {
  return {
    type: codec.type,
    method: codec.method(options),
    places,
    tensors: codec.tensors(places, options, spec),
    fields: { ...codec.fields, ...withPythonPatterns(codec.write(options)) },
    ...codec.biases !== undefined && !codec.ownBiases?.(options) && { biases: codec.biases },
  };
}

/** The method of a config; without `target_modules` PEFT usually uses LoRA's defaults. */
export function partOfConfig<O extends TargetOptions>(
  codec: PeftCodec<O>,
  config: PeftConfig,
  model: Model,
): ReadPart {
  if (codec.part !== undefined) return codec.part(config, model);
  const fields = knownFields(config, codec.fields, codec.refused);
  const standard = codec.standard?.(model) ?? {};
  const names = (): readonly string[] => chooseTargets(model.spec, standard).map((place) => place.path);
  const main = layerPart(codec, fields, names, model);
  const { frozen } = codec;
  if (frozen === undefined) return { main, fields };
  const options = codec.read(fields);
  return { main: { ...main, frozen: (model) => frozen(model, main.places, options) }, fields };
}

/** A method on the layers that fields choose. */
export function layerPart<O extends TargetOptions>(
  codec: PeftCodec<O>,
  fields: PeftFields,
  standard: () => readonly string[],
  model: Model,
  extra: (places: readonly MatrixPlace[]) => Partial<O> = () => ({}),
): MainPart {
  const { options, places: all } = layersOfFields(fields, standard, model.spec);
  const places = placesInPeft(all, model);
  return mainPart(
    codec,
    { ...resolvedPatterns(codec.read(withOurPatterns(fields)), places), ...options, ...extra(places) } as O,
    places,
    model.spec,
  );
}
