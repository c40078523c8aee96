/** Methods that are not built from options alone. */
import {
  dequantizedShape,
  leaves,
  lookup,
  type Method,
  nest,
  type Restoring,
  type Shape,
  Tensor,
  trainableCopy,
  type Tree,
} from "../../core/mod.ts";
import { checkOptions, type JsonOptions } from "../../core/options/mod.ts";
import {
  diffPruning,
  diffPruningFixed,
  far,
  type FarOptions,
  fishMask,
  ipt,
  iptAutoencoder,
  type IptAutoencoderOptions,
  ltSft,
  only,
  promptTuning,
  type PromptTuningOptions,
  psoft,
  type SparseMask,
} from "../../methods/mod.ts";
import { fixedWeights, type FixedWeightsOptions } from "../../methods/selective/fixed_weights.ts";
import { PSOFT_OPTIONS } from "./common_schemas.ts";

export const PARTICULAR_NAMES: readonly string[] = [
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

const child = (params: Tree, name: string): Tree => (params[name] ?? {}) as Tree;

export function particular(name: string, config: JsonOptions, held: Restoring): Method {
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
      return ipt({ autoencoder: { method, params: child(held.params, "frozen") } });
    }
    case "iptAutoencoder": {
      const { tasks: _, length, where, hidden, ...options } = config as
        & JsonOptions
        & Pick<IptAutoencoderOptions, "task">;
      const method = promptTuning({ length, where } as PromptTuningOptions);
      const stored = child(child(held.params, "frozen"), "prompts");
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
function maskOf(config: JsonOptions, { model, integers }: Restoring): SparseMask {
  const shapes = (config["shapes"] ?? {}) as Readonly<Record<string, Shape>>; // folders of earlier versions have none
  const masks = Object.keys(config["elements"] ?? {}).map((path) => {
    const leaf = lookup(model.weights, path);
    if (!(leaf instanceof Tensor)) {
      throw new RangeError(`Cannot use the mask on this model: it has no weight "${path}"`);
    }
    return {
      path,
      shape: shapes[path] ?? dequantizedShape(model, path),
      indices: integers(`${path}.frozen.indices`),
    };
  });
  const { whole = [], lookups } = config as { readonly [name: string]: readonly string[] };
  return { leaves: masks, whole, ...lookups && { lookups } };
}
