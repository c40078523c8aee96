/** AdapterFusion in AdapterHub's folders: its fields, and the tensors of its attention. */
import type { Adapter, Json, Method, Model, Tree } from "../../core/mod.ts";
import { isObject } from "../../formats/strict_json.ts";
import { full } from "../../ops/mod.ts";
import { adapterFusion, type FusionMatrix } from "../adapters/adapter_fusion.ts";
import { adapterModule, type AdaptersPart, all, type Both, same } from "./layout.ts";
import { rangeError, syntaxError } from "../../errors/error.ts";

type Fields = Readonly<Record<string, unknown>>;

const FUSION_FIELDS: Fields = {
  key: true,
  query: true,
  value: true,
  query_before_ln: false,
  regularization: true,
  residual_before: false,
  temperature: false,
  value_before_softmax: true,
  value_initialized: true,
  dropout_prob: null,
};

/** A fusion as read: its method of the fused adapters, the attention's tensors, and what is frozen beside the adapters. */
export interface ReadFusion {
  readonly tensors: Both;
  method(adapters: Readonly<Record<string, Adapter>>): Method;
  frozen(): Tree;
}

/**
 * The fusion of a config.
 *
 * @param first The first of the fused adapters, and the parts that its folder describes.
 * @throws {RangeError} when a field is not known, or asks for what is not supported.
 */
export function readFusion(
  place: string,
  config: Fields,
  first: { readonly adapter: Adapter; readonly parts: readonly AdaptersPart[] },
  model: Model,
): ReadFusion {
  if (!isObject(config["config"])) {
    throw syntaxError("INVALID_ARGUMENT", `Cannot read "${place}": the fusion has no "config"`);
  }
  const fields = { ...FUSION_FIELDS, ...config["config"] };
  const unknown = Object.entries(fields).find(([name, value]) =>
    !Object.hasOwn(FUSION_FIELDS, name) && value
  );
  if (unknown !== undefined) {
    throw rangeError(
      "ADAPTER_UNSUPPORTED",
      `Cannot load the fusion "${place}": its field "${unknown[0]}" is not known`,
    );
  }
  if (fields["residual_before"]) {
    throw rangeError(
      "ADAPTER_UNSUPPORTED",
      `Cannot load the fusion "${place}": residual_before is not supported`,
    );
  }
  const matrices = (["query", "key", "value"] as const).filter((name) => fields[name]);
  if (matrices.length === 0) {
    throw rangeError("INVALID_ARGUMENT", `Cannot load the fusion "${place}": it has no query, key or value`);
  }
  const sites = new Set(
    first.parts.flatMap(({ method }) => method.edits(first.adapter.params, model.spec)).map(({ path }) =>
      path
    ),
  );
  const options: Omit<Parameters<typeof adapterFusion>[0], "adapters"> = {
    regularization: fields["regularization"] ? 0.01 : 0,
    dropout: (fields["dropout_prob"] ?? model.config["attention_probs_dropout_prob"] ?? 0) as number,
    ...fields["temperature"] ? { temperature: ANNEALED } : {},
    ...matrices.length < 3 ? { matrices: matrices as readonly FusionMatrix[] } : {},
    ...fields["query_before_ln"] ? { query: "output" as const } : {},
  };
  return {
    tensors: fusionTensors(model, sites, String(config["name"]), matrices),
    method: (adapters) => adapterFusion({ ...options, adapters }),
    frozen: (): Tree => fields["temperature"] ? { temperature: full([1], ANNEALED.from, model.backend) } : {},
  };
}

/** How the library lets a temperature fall. */
const ANNEALED = { from: 50, steps: 1000 } as const;

/** The fields of a fusion. @throws {RangeError} when the library would fuse differently. */
export function writeFusion(
  options: Readonly<Record<string, unknown>>,
): { readonly fields: Readonly<Record<string, Json>>; readonly matrices: readonly FusionMatrix[] } {
  const { regularization, dropout, temperature } = options;
  const annealed = typeof temperature === "object" && temperature !== null
    ? temperature as { readonly from: number; readonly steps: number }
    : undefined;
  if (
    annealed === undefined
      ? temperature !== 1
      : annealed.from !== ANNEALED.from || annealed.steps !== ANNEALED.steps
  ) {
    throw rangeError(
      "CANNOT_SAVE",
      "Cannot save this fusion for AdapterHub: its temperature is 1, or falls from 50 to 1 in 1000 steps",
    );
  }
  if (regularization !== 0 && regularization !== 0.01) {
    throw rangeError(
      "CANNOT_SAVE",
      "Cannot save this fusion for AdapterHub: its regularization is 0.01 or 0",
    );
  }
  const matrices = (options["matrices"] ?? ["query", "key", "value"]) as readonly FusionMatrix[];
  return {
    matrices,
    fields: {
      key: matrices.includes("key"),
      query: matrices.includes("query"),
      value: matrices.includes("value"),
      query_before_ln: options["query"] === "output",
      regularization: matrices.includes("value") && regularization === 0.01,
      residual_before: false,
      temperature: annealed !== undefined,
      value_before_softmax: true,
      value_initialized: matrices.includes("value"),
      dropout_prob: dropout === 0 ? null : dropout as number,
    },
  };
}

/** The attention's tensors at each place: query and key [d, d] with biases, value [d, d]. */
export function fusionTensors(
  model: Model,
  sites: ReadonlySet<string>,
  name: string,
  matrices: readonly FusionMatrix[],
): Both {
  return all(
    model.spec.sublayers.filter(({ path }) => sites.has(path)).flatMap((place) => {
      const { path, width: d } = place;
      const key = `${adapterModule(place, model)}.adapter_fusion_layer.${name}`;
      return matrices.flatMap((matrix) => [
        same(`${path}.${matrix}.weight`, `${key}.${matrix}.weight`, [d, d]),
        ...matrix === "value" ? [] : [same(`${path}.${matrix}.bias`, `${key}.${matrix}.bias`, [d])],
      ]);
    }),
  );
}
