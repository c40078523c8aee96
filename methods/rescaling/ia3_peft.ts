/**
 * (IA)³ in PEFT folders: `ia3_l` below the layer's path, [out, 1] where it scales the output and [1, in] where it scales
 * the input; [out] and [in] in our params.
 */
import { type MatrixPlace, type Model, nameMatches, sizesOf } from "../../core/mod.ts";
import { knownFields, namesField, type PeftConfig } from "../../formats/peft_config.ts";
import { ia3Defaults } from "../../formats/peft_defaults.ts";
import { pythonPattern, shortNames } from "../../formats/peft_targets.ts";
import { flagField, type PeftCodec, type PeftFields, type PeftTensor, type ReadPart } from "../peft/codec.ts";
import { layerPart } from "../peft/layer_part.ts";
import { ia3, type Ia3Options, scalesInput } from "./ia3.ts";
import { rangeError } from "../../errors/error.ts";

/**
 * Codec of `peft_type` "IA3". `feedforward_modules` is handled along with the targets.
 *
 * @example
 * ```ts
 * import { ia3Peft } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * assert.equal(ia3Peft.type, "IA3");
 * assert.throws(() => ia3Peft.read({ ...ia3Peft.fields, init_ia3_weights: "yes" }), TypeError);
 * ```
 */
export const ia3Peft: PeftCodec<Ia3Options> = {
  type: "IA3",
  fields: {
    exclude_modules: null,
    modules_to_save: null,
    fan_in_fan_out: false,
    feedforward_modules: null,
    init_ia3_weights: true,
  },
  refused: {},
  read: (fields) => {
    flagField(fields, "init_ia3_weights"); // describes the initialization, which no longer matters
    return {};
  },
  write: () => ({ init_ia3_weights: true }),
  part: (config, model) => partOf(config, model),
  layerFields: (fields, places, options) =>
    withFeedForward(fields, places.filter((place) => scalesInput(place, options)), places),
  method: ia3,
  tensors: (places, options) => places.map((place) => vector(place, options)),
};

function vector(place: MatrixPlace, options: Ia3Options): PeftTensor {
  const { path } = place;
  if (place.kind === "embedding") {
    throw rangeError("CANNOT_SAVE", `PEFT has no (IA)³ on the embedding "${path}"`);
  }
  const { inFeatures, outFeatures } = sizesOf(place);
  const [shape, stored] = scalesInput(place, options)
    ? [[inFeatures], [1, inFeatures]]
    : [[outFeatures], [outFeatures, 1]];
  return { path: `${path}.l`, key: `${path}.ia3_l`, shape, stored };
}

/** (IA)³, whose feed-forward layers have their own names or pattern. */
function partOf(config: PeftConfig, model: Model): ReadPart {
  const fields = knownFields(config, ia3Peft.fields, ia3Peft.refused);
  const standard = (): readonly string[] => ia3Defaults(model.config.model_type).targets;
  const given = fields["feedforward_modules"] ?? null;
  const isPattern = typeof given === "string";
  const names = isPattern
    ? []
    : namesField("feedforward_modules", given) ?? ia3Defaults(model.config.model_type).feedForward;
  const main = layerPart(ia3Peft, fields, standard, model, (places) => {
    const pattern = isPattern ? pythonPattern(`(?:${given})`) : undefined;
    // PEFT compares plain ends of paths here, not whole names.
    const atInput = (path: string): boolean =>
      pattern === undefined
        ? names.some((name) => path.endsWith(name))
        : new RegExp(`^${pattern.source}$`, pattern.flags).test(path);
    const paths = places.map((place) => place.path).filter(atInput);
    const same = places.every(({ path }) =>
      names.some((name) => nameMatches(name, path)) === paths.includes(path)
    );
    return {
      feedForward: same ? names.filter((name) => places.some(({ path }) => nameMatches(name, path))) : paths,
    };
  });
  return { main, fields };
}

/**
 * PEFT requires `feedforward_modules` to be among the names of `target_modules`, and compares plain ends of
 * paths.
 */
function withFeedForward(
  fields: PeftFields,
  scaled: readonly MatrixPlace[],
  places: readonly MatrixPlace[],
): PeftFields {
  const wanted = scaled.map((place) => place.path);
  const targets = fields["target_modules"];
  const ends = (name: string): readonly string[] =>
    places.map((place) => place.path).filter((path) => path.endsWith(name));
  const names = Array.isArray(targets)
    ? (targets as readonly string[]).filter((name) =>
      ends(name).length > 0 && ends(name).every((p) => wanted.includes(p))
    )
    : shortNames(wanted, places.map((place) => place.path));
  if (wanted.every((path) => names.some((name) => path.endsWith(name)))) {
    return { ...fields, feedforward_modules: names };
  }
  return {
    ...fields,
    target_modules: places.map((place) => place.path),
    exclude_modules: null,
    feedforward_modules: wanted,
  };
}
