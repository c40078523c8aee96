/**
 * Methods by the name of their factory, from options as JSON: used for saved adapters and the command line.
 */
import type { Method } from "../../core/mod.ts";
import {
  adalora,
  adamix,
  attentionFusion,
  beft,
  bitfit,
  boft,
  bottleneckAdapter,
  c3a,
  compacter,
  contextPromptTuning,
  crossAttention,
  deft,
  delora,
  dora,
  fourierft,
  fusedIa3,
  fusedLora,
  glora,
  gralora,
  hira,
  houlsby,
  hra,
  ia3,
  intrinsicSaid,
  invertibleAdapter,
  krona,
  kronaB,
  kronaBres,
  ladderSideTuning,
  layerNormTune,
  lets,
  lily,
  llamaAdapter,
  loha,
  lokr,
  lora,
  loraPlus,
  loreft,
  miss,
  modulesToSave,
  multitaskPromptTuning,
  oft,
  only,
  osf,
  parallelAdapter,
  peanut,
  pfeiffer,
  phmAdapter,
  poly,
  prefixTuning,
  promptTuning,
  pTuning,
  pvera,
  randlora,
  road,
  s4,
  shira,
  tinyLora,
  topLayers,
  trainableTokens,
  uniLora,
  vbLora,
  vera,
  waveft,
} from "../../methods/mod.ts";
import { type BuiltMethod, METHOD_OPTIONS } from "./method_options.ts";
import { type JsonOptions, optionsFromJson } from "../../core/options/option_json.ts";
import { checkOptions } from "../../core/options/option.ts";

/** Whether a method of this name is built from options alone. */
export function isBuilt(name: string): name is BuiltMethod {
  return Object.hasOwn(METHOD_OPTIONS, name);
}

/**
 * The method that a name and options describe. `loftq` gives only its LoRA, for a prepared base.
 *
 * @throws {RangeError} when an option is unknown or of the wrong kind, or as the method itself.
 */
export function namedMethod(name: BuiltMethod, json: JsonOptions): Method {
  const options = withPatterns(optionsFromJson(json));
  checkOptions(name, options, METHOD_OPTIONS[name]);
  return made(name, options);
}

/** Some configs store a pattern as its source string, which cannot be a list of names. */
function withPatterns(options: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(options).map(([name, value]) => [
      name,
      (name === "norms" || name === "parameters") && typeof value === "string" ? new RegExp(value) : value,
    ]),
  );
}

/** Semantic checks of values are done by the method. */
function made(name: BuiltMethod, options: Readonly<Record<string, unknown>>): Method {
  const of = <O, M>(factory: (options: O) => M): M => factory(options as O);
  switch (name) {
    case "lora":
      return of(lora);
    case "dora":
      return of(dora);
    case "loraPlus":
      return of(loraPlus);
    case "loftq": {
      const { dtype: _, iterations: __, ...rest } = options;
      return { ...lora(rest), name, config: options as JsonOptions };
    }
    case "adalora":
      return of(adalora);
    case "loha":
      return of(loha);
    case "lokr":
      return of(lokr);
    case "krona":
      return of(krona);
    case "lily":
      return of(lily);
    case "vera":
      return of(vera);
    case "oft":
      return of(oft);
    case "boft":
      return of(boft);
    case "poly":
      return of(poly);
    case "glora":
      return of(glora);
    case "osf":
      return of(osf);
    case "hra":
      return of(hra);
    case "miss":
      return of(miss);
    case "fourierft":
      return of(fourierft);
    case "randlora":
      return of(randlora);
    case "c3a":
      return of(c3a);
    case "tinyLora":
      return of(tinyLora);
    case "pvera":
      return of(pvera);
    case "uniLora":
      return of(uniLora);
    case "vbLora":
      return of(vbLora);
    case "deft":
      return of(deft);
    case "peanut":
      return of(peanut);
    case "road":
      return of(road);
    case "delora":
      return of(delora);
    case "hira":
      return of(hira);
    case "shira":
      return of(shira);
    case "gralora":
      return of(gralora);
    case "waveft":
      return of(waveft);
    case "intrinsicSaid":
      return of(intrinsicSaid);
    case "ia3":
      return of(ia3);
    case "beft":
      return of(beft);
    case "bitfit":
      return of(bitfit);
    case "layerNormTune":
      return of(layerNormTune);
    case "topLayers":
      return of(topLayers);
    case "crossAttention":
      return of(crossAttention);
    case "trainableTokens":
      return of(trainableTokens);
    case "only":
      return of(only);
    case "modulesToSave":
      return of(modulesToSave);
    case "houlsby":
      return of(houlsby);
    case "pfeiffer":
      return of(pfeiffer);
    case "parallelAdapter":
      return of(parallelAdapter);
    case "bottleneckAdapter":
      return of(bottleneckAdapter);
    case "fusedLora":
      return of(fusedLora);
    case "fusedIa3":
      return of(fusedIa3);
    case "phmAdapter":
      return of(phmAdapter);
    case "compacter":
      return of(compacter);
    case "kronaB":
      return of(kronaB);
    case "kronaBres":
      return of(kronaBres);
    case "adamix":
      return of(adamix);
    case "invertibleAdapter":
      return of(invertibleAdapter);
    case "prefixTuning":
      return of(prefixTuning);
    case "promptTuning":
      return of(promptTuning);
    case "pTuning":
      return of(pTuning);
    case "multitaskPromptTuning":
      return of(multitaskPromptTuning);
    case "contextPromptTuning":
      return of(contextPromptTuning);
    case "llamaAdapter":
      return of(llamaAdapter);
    case "loreft":
      return of(loreft);
    case "s4":
      return of(s4);
    case "attentionFusion":
      return of(attentionFusion);
    case "lets":
      return of(lets);
    case "ladderSideTuning":
      return of(ladderSideTuning);
    default:
      return name satisfies never;
  }
}
