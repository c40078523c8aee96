/** Matrix methods in PEFT configs. */
import {
  chooseTargets,
  type MatrixPlace,
  type Model,
  nameMatches,
  type TargetOptions,
} from "../../core/mod.ts";
import { knownFields, namesField, type PeftConfig } from "../../formats/peft_config.ts";
import { ia3Defaults } from "../../formats/peft_defaults.ts";
import { pythonPattern } from "../../formats/peft_targets.ts";
import { ia3Peft } from "../../methods/rescaling/ia3_peft.ts";
import type { PeftCodec, PeftFields } from "../../methods/peft/codec.ts";
import { withExtras } from "./extras.ts";
import type { FolderParts, MainPart } from "./folder_parts.ts";
import { mainPart, placesInPeft } from "./layout.ts";
import { resolvedPatterns, withOurPatterns } from "../../methods/peft/patterns.ts";
import { layersOfFields } from "../../methods/peft/targets.ts";

/** A matrix method; without `target_modules` PEFT usually uses LoRA's defaults. */
export function matrixParts<O extends TargetOptions>(
  codec: PeftCodec<O>,
  config: PeftConfig,
  model: Model,
  standard: TargetOptions = {},
): FolderParts {
  const fields = knownFields(config, codec.fields, codec.refused);
  const names = (): readonly string[] => chooseTargets(model.spec, standard).map((place) => place.path);
  const part = main(codec, fields, names, model);
  const { frozen } = codec;
  if (frozen === undefined) return withExtras(part, fields, model);
  const options = codec.read(fields);
  return withExtras({ ...part, frozen: (model) => frozen(model, part.places, options) }, fields, model);
}

/** A method on its layers. */
function main<O extends TargetOptions>(
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

/** (IA)³, whose feed-forward layers have their own names or pattern. */
export function ia3Main(fields: PeftFields, standard: () => readonly string[], model: Model): MainPart {
  const given = fields["feedforward_modules"] ?? null;
  const isPattern = typeof given === "string";
  const names = isPattern
    ? []
    : namesField("feedforward_modules", given) ?? ia3Defaults(model.config.model_type).feedForward;
  return main(ia3Peft, fields, standard, model, (places) => {
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
}
