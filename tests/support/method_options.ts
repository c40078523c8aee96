/** Every method that options alone make, with options that suit tiny models. */
import type { Method, MethodDefinition, Spec } from "../../core/mod.ts";
import { type JsonOptions, optionsFromJson } from "../../core/options/mod.ts";
import { knownMethods } from "../../io/records/known_methods.ts";
import { DEFINITIONS } from "../../methods/index.ts";
import { optionsFromFlags } from "../../tuning/method_from_flags.ts";

/** Options that suit sizes of 12, 10 and 16; an option of each kind is not the default. */
export const OPTIONS: Readonly<Record<string, JsonOptions>> = {
  "lora": { rank: 2, targets: { pattern: ".*\\.[qk]_proj", flags: "" }, rankPattern: { k_proj: 1 } },
  "adalora": { rank: 2, targetRank: 1 },
  "lily": { rank: 2, stride: 2, sharing: ["q_proj", "v_proj"] },
  "vera": { rank: 3, targets: "all-linear" },
  "oft": { blocks: { count: 2 }, cayley: "exact" },
  "boft": { blocks: { size: 2 } },
  "poly": { rank: 2, tasks: ["a", "b"], task: "a" },
  "hra": { rank: 2 },
  "miss": { rank: 4, form: "mini", miniRank: 2 },
  "fourierft": { frequencies: 5 },
  "vb-lora": { rank: 2, vectors: 4, length: 2, topK: 1 },
  "uni-lora": { dimension: 9, assignment: "balanced" },
  "c3a": { block: 4, blockPattern: { q_proj: 2 } },
  "deft": { rank: 3, alpha: 2, projection: "qr" },
  "peanut": { rank: 2, depth: 1, activation: "silu" },
  "road": { variant: 2 },
  "delora": { rank: 2, lambdaPattern: { q_proj: 3 }, initialization: "copy" },
  "hira": { rank: 2, initialization: "gaussian" },
  "shira": { rank: 1, positionSeed: 5 },
  "gralora": { rank: 4, hybridRank: 1 },
  "waveft": { frequencies: 5, wavelet: "db2" },
  "intrinsic-said": { dimension: 40, seed: 3, scales: "layer" },
  "layer-norm-tune": { norms: { pattern: "model\\.norm", flags: "" } },
  "only": { parameters: ["q_proj.weight"] },
  "modules-to-save": { modules: ["lm_head"] },
  "trainable-tokens": { tokens: [1, 4] },
  "phm-adapter": { reduction: 3, dimension: 2 },
  "compacter": { reduction: 3, dimension: 2 },
  "compacter-plus-plus": { reduction: 3, dimension: 2 },
  "houlsby": { reduction: 3, activation: "silu" },
  "prefix-tuning": { length: 3, network: { hidden: 4 } },
  "prompt-tuning": { length: 2, start: { from: "tokens", rows: [[1, 2]] } },
  "multitask-prompt-tuning": { length: 2, rank: 2, tasks: ["a", "b"], task: "b" },
  "dept": { length: 2, rank: 2, maxLength: 8 },
  "context-prompt-tuning": { tokens: [1, 2, 3], types: [1, 2, 4] },
  "p-tuning": { length: 2, encoder: { kind: "mlp" } },
  "loreft": { rank: 2, first: 1, last: 1 },
  "ladder-side-tuning": { reduction: 2, layers: [1] },
  "s4": { budget: 600, groups: [1, 1], parts: [["lora"], ["adapter"]] },
};

/** Definitions whose methods options alone make. */
export const CREATED: readonly MethodDefinition[] = DEFINITIONS.filter(({ create }) => create !== undefined);

/** The method of a definition, for a model's sizes: with the options above, or those of the command line. */
export function created(definition: MethodDefinition, spec: Spec): Method {
  const { name } = definition;
  const options = OPTIONS[name];
  return definition.create!(
    options === undefined
      ? optionsFromFlags({ method: name, definition, known: knownMethods(), own: [] }, spec)
      : optionsFromJson(options),
  );
}

/** The method of a name and options as JSON. */
export function namedMethod(name: string, options: JsonOptions = {}): Method {
  const { create, restore } = knownMethods().get(name);
  // LoftQ's is made from a record alone.
  return create?.(optionsFromJson(options)) ?? restore!(options, undefined as never);
}
