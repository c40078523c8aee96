/** A method, compositions included, as a JSON record in a folder, and back. */
import {
  compose,
  dequantizedShape,
  type Gate,
  gated,
  leaves,
  lookup,
  type Method,
  type Model,
  nest,
  type OptionValue,
  perRow,
  scaled,
  type Shape,
  type Spec,
  Tensor,
  trainableCopy,
  type Tree,
} from "../../core/mod.ts";
import { isObject } from "../../formats/strict_json.ts";
import {
  adapterFusion,
  averaged,
  bySpans,
  diffPruning,
  diffPruningFixed,
  far,
  type FarOptions,
  fishMask,
  ipt,
  iptAutoencoder,
  type IptAutoencoderOptions,
  keyValueGate,
  ltSft,
  only,
  parallel,
  promptTuning,
  type PromptTuningOptions,
  psoft,
  routed,
  sentenceGate,
  type SparseMask,
  xlora,
} from "../../methods/mod.ts";
import { fixedWeights, type FixedWeightsOptions } from "../../methods/selective/fixed_weights.ts";
import { isBuilt, namedMethod } from "./named_method.ts";
import { type JsonOptions, optionsToJson } from "./option_codec.ts";
import { any, checkOptions, count, flag, list, number, oneOf, type OptionSchemas } from "./option_schemas.ts";
import { PSOFT_OPTIONS } from "./common_schemas.ts";

/** The record of a method in a file. */
export type MethodRecord =
  | { readonly method: "compose" | "perRow"; readonly parts: Readonly<Record<string, MethodRecord>> }
  | {
    readonly method: "averaged" | "bySpans" | "parallel" | "routed";
    readonly parts: Readonly<Record<string, MethodRecord>>;
    readonly config: JsonOptions;
  }
  | { readonly method: "gated"; readonly of: MethodRecord; readonly gate: string }
  | { readonly method: "scaled"; readonly of: MethodRecord; readonly factor: number }
  | {
    readonly method: "adapterFusion" | "xlora";
    readonly adapters: Readonly<Record<string, MethodRecord>>;
    readonly config: JsonOptions;
  }
  | { readonly method: string; readonly config: JsonOptions };

/** What a method may need besides its record: the stored parameters. */
export interface Held {
  readonly model: Model;
  /** The method's parameters, as stored. */
  readonly params: Tree;
  /** The values of an integer leaf, by its path from the root; for masks. */
  indices(path: string): Int32Array;
  /** The path of `params` from the root: "" or "part.". */
  readonly at: string;
}

/**
 * The record of a method on a model.
 *
 * @throws {TypeError} when a file cannot represent the method or one of its options.
 */
export function recordOf(name: string, config: Method["config"], spec: Spec): MethodRecord {
  if (name.startsWith("gated(")) {
    const { gate, ...rest } = config;
    return { method: "gated", of: recordOf(name.slice(6, -1), rest, spec), gate: gateName(gate) };
  }
  if (name.startsWith("scaled(")) {
    const { factor, ...rest } = config;
    return { method: "scaled", of: recordOf(name.slice(7, -1), rest, spec), factor: factor as number };
  }
  if (name.startsWith("compose(")) return { method: "compose", parts: recordsOf(config, spec) };
  if (name.startsWith("perRow(")) return { method: "perRow", parts: recordsOf(config, spec) };
  for (const method of ["averaged", "bySpans", "parallel", "routed"] as const) {
    if (!name.startsWith(`${method}(`)) continue;
    const { parts, ...rest } = config;
    return { method, parts: recordsOf(parts as Method["config"], spec), config: optionsToJson(name, rest) };
  }
  if (name === "adapterFusion") {
    const { adapters, ...rest } = config;
    const parts = recordsOf(adapters as Method["config"], spec);
    return { method: name, adapters: parts, config: optionsToJson(name, rest) };
  }
  if (name === "xlora") {
    const { experts, ...rest } = config;
    const parts = recordsOf(experts as Method["config"], spec);
    return { method: name, adapters: parts, config: optionsToJson(name, rest) };
  }
  if (!isBuilt(name) && !PARTICULAR.includes(name)) {
    throw new TypeError(`Cannot save "${name}": merge the adapter and save the model instead`);
  }
  const own = name === "far" ? { ...config, outputs: outputsOf(config, spec) } : config;
  return { method: name, config: optionsToJson(`the options of ${name}`, own) };
}

/** The number of outputs of the layers of FAR's learners, so that the record does not fit wider layers. */
function outputsOf(config: Method["config"], spec: Spec): Readonly<Record<string, number>> {
  const paths = Object.keys(config["learners"] as JsonOptions);
  return Object.fromEntries(
    spec.linears.filter(({ path }) => paths.includes(path)).map((
      { path, outFeatures },
    ) => [path, outFeatures]),
  );
}

/** Options of methods with parallel parts. */
const BESIDE: { readonly [name in "averaged" | "bySpans" | "parallel" | "routed"]: OptionSchemas } = {
  averaged: { weights: list(number), divided: flag },
  bySpans: { lengths: list(number) },
  parallel: {},
  routed: {
    temperature: any(number, oneOf("none")),
    topK: count,
    chosen: oneOf("keep", "softmax"),
    deviation: number,
  },
};

/** Methods that are not built from options alone. */
const PARTICULAR: readonly string[] = [
  "fishMask",
  "ltSft",
  "far",
  "diffPruning",
  "diffPruningFixed",
  "spot",
  "ipt",
  "iptAutoencoder",
  "psoft",
  "classifier",
  "fixedWeights",
];

function recordsOf(parts: Method["config"], spec: Spec): Readonly<Record<string, MethodRecord>> {
  return Object.fromEntries(
    Object.entries(parts).map(([part, value]) => {
      const { method, ...options } = value as JsonOptions;
      return [part, recordOf(String(method), options, spec)];
    }),
  );
}

function gateName(gate: OptionValue | undefined): string {
  const name = isObject(gate) ? gate["name"] : undefined;
  if (name === "sentenceGate" || name === "keyValueGate") return name;
  throw new TypeError(
    `Cannot save a method under the gate "${name}": known are "sentenceGate" and "keyValueGate"`,
  );
}

/**
 * The method for a record.
 *
 * @throws {RangeError} when it or an option is unknown.
 * @throws {SyntaxError} when the record is invalid.
 */
export function methodOfRecord(record: MethodRecord, held: Held): Method {
  if (!isObject(record) || typeof record.method !== "string") {
    throw new SyntaxError('Expected a record of a method, { "method", "config" }');
  }
  if ("parts" in record) {
    const own = record.method === "routed" ? childOf(held, "of") : held;
    const parts = Object.entries(record.parts).map(([part, inner]) =>
      [part, methodOfRecord(inner, childOf(own, part))] as const
    );
    if ("config" in record) return beside(record.method, Object.fromEntries(parts), record.config);
    return record.method === "perRow"
      ? perRow(
        Object.fromEntries(
          parts.map(([part, method]) => [part, { method, params: childOf(held, part).params }]),
        ),
      ).method
      : compose(Object.fromEntries(parts));
  }
  if ("gate" in record) {
    return gated(methodOfRecord(record.of, childOf(held, "of")), gateOf(record.gate));
  }
  if ("factor" in record) return scaled(methodOfRecord(record.of, held), record.factor);
  if ("adapters" in record) {
    // X-LoRA's experts may be trained.
    const inside = record.method === "adapterFusion"
      ? childOf(held, "frozen")
      : childOf(record.config["trains"] === "all" ? held : childOf(held, "frozen"), "experts");
    const adapters = Object.fromEntries(
      Object.entries(record.adapters).map(([name, inner]) => {
        const own = childOf(inside, name);
        return [name, { method: methodOfRecord(inner, own), params: own.params }] as const;
      }),
    );
    return record.method === "xlora"
      ? xlora({ ...record.config, experts: adapters })
      : adapterFusion({ ...record.config, adapters });
  }
  const { method: name, config } = record;
  return isBuilt(name) ? namedMethod(name, config) : particular(name, config, held);
}

function beside(
  name: keyof typeof BESIDE,
  methods: Readonly<Record<string, Method>>,
  config: JsonOptions,
): Method {
  checkOptions(name, config, BESIDE[name]);
  switch (name) {
    case "averaged":
      return averaged(methods, config);
    case "bySpans":
      return bySpans(methods, (config["lengths"] ?? []) as readonly number[]);
    case "parallel":
      return parallel(methods);
    case "routed":
      return routed(methods, config);
  }
}

function particular(name: string, config: JsonOptions, held: Held): Method {
  switch (name) {
    case "fishMask":
      return fishMask({ mask: maskOf(config, held) });
    case "diffPruning":
      return diffPruning(config);
    case "far":
      return far(config as JsonOptions & FarOptions); // folders of before have no outputs
    case "diffPruningFixed":
      return diffPruningFixed({ mask: maskOf(config, held) });
    case "ltSft": {
      const { pull, maskable } = config as { readonly pull: number; readonly maskable: number };
      return ltSft({ mask: maskOf(config, held), pull, maskable });
    }
    case "spot": {
      const { weights: _, ...rest } = config;
      return { ...promptTuning(rest), name, config };
    }
    case "ipt": {
      const method = { name: "iptAutoencoder", config };
      return ipt({ autoencoder: { method, params: childOf(held, "frozen").params } });
    }
    case "iptAutoencoder": {
      const { tasks: _, length, where, hidden, ...options } = config as
        & JsonOptions
        & Pick<IptAutoencoderOptions, "task">;
      const method = promptTuning({ length, where } as PromptTuningOptions);
      const stored = childOf(childOf(held, "frozen"), "prompts").params;
      const prompts = Object.fromEntries(
        Object.entries(stored).map(([task, rows]) => [task, { method, params: { rows } as Tree }]),
      );
      const given = { ...options, ...hidden !== null && { hidden }, prompts };
      return iptAutoencoder(given as IptAutoencoderOptions);
    }
    case "psoft": {
      checkOptions(name, config, PSOFT_OPTIONS);
      const end = ".frozen.v";
      const subspace = Object.fromEntries(
        leaves(held.params).filter(([path]) => path.endsWith(end))
          .map(([path, v]) => [path.slice(0, -end.length), v]),
      );
      return psoft({ ...config, subspace });
    }
    case "classifier": {
      const paths = leaves(held.params).map(([path]) => path);
      if (paths.length === 0) return { name, config, init: () => ({}), edits: () => [] };
      return { ...only({ parameters: paths }), name, config };
    }
    case "fixedWeights":
      return fixedOn(config as JsonOptions & FixedWeightsOptions);
    default:
      throw new RangeError(`The adapter's method "${name}" is not known to this version`);
  }
}

/**
 * Fixed weights initialized with the model's own, so that their shapes are known. A head may get a matrix of
 * its own.
 */
function fixedOn(options: FixedWeightsOptions): Method {
  return {
    ...fixedWeights(options),
    init: ({ model }) =>
      nest(options.parameters.map((path): readonly [string, Tensor] => {
        const tiedTo = model.spec.heads.find((head) => `${head.path}.weight` === path)?.tiedTo;
        const own = lookup(model.weights, path) === undefined && tiedTo !== undefined
          ? `${tiedTo}.weight`
          : path;
        return [`frozen.${path}`, trainableCopy(model, own)];
      })) as Tree,
  };
}

/** The mask that a sparse method's config and its stored indices describe. */
function maskOf(config: JsonOptions, { model, indices, at }: Held): SparseMask {
  const shapes = (config["shapes"] ?? {}) as Readonly<Record<string, Shape>>; // folders of earlier versions have none
  const masks = Object.keys(config["elements"] ?? {}).map((path) => {
    const leaf = lookup(model.weights, path);
    if (!(leaf instanceof Tensor)) {
      throw new RangeError(`Cannot use the mask on this model: it has no weight "${path}"`);
    }
    return {
      path,
      shape: shapes[path] ?? dequantizedShape(model, path),
      indices: indices(`${at}${path}.frozen.indices`),
    };
  });
  const { whole = [], lookups } = config as { readonly [name: string]: readonly string[] };
  return { leaves: masks, whole, ...lookups && { lookups } };
}

const gateOf = (name: string): Gate => {
  if (name === "sentenceGate") return sentenceGate();
  if (name === "keyValueGate") return keyValueGate();
  throw new RangeError(`The adapter's gate "${name}" is not known to this version`);
};

function childOf({ params, at, ...rest }: Held, part: string): Held {
  return { ...rest, params: (params[part] ?? {}) as Tree, at: `${at}${part}.` };
}
