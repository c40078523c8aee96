/** Layers that are sums of Kronecker products in AdapterHub's files: Compacter and PHM adapters. */
import type { Shape } from "../../core/mod.ts";
import type { AdaptersFields } from "../../formats/adapters_fields.ts";
import type { BottleneckAdapterOptions } from "../adapters/bottleneck_adapter.ts";
import { add, full, matmul } from "../../ops/mod.ts";
import { type Both, type Reading, same } from "./layout.ts";

const reading = (
  path: string,
  shape: Shape,
  from: readonly { readonly key: string; readonly shape: Shape }[],
  read: Reading["read"],
) => ({ reads: [{ path, shape, from, read }], writes: [] });

/**
 * A layer of Kronecker products. Shared weights and factored rules are read as full weights of each layer.
 */
export function phmTensors(
  path: string,
  key: string,
  position: "down" | "up",
  inner: number,
  outer: number,
  fields: AdaptersFields,
  name: string,
): readonly Both[] {
  const [n, k] = [fields["phm_dim"] as number, fields["phm_rank"] as number];
  const shared = `shared_parameters.${name}.W_${position}`;
  const weights = fields["factorized_phm_W"]
    ? [["left", [n, inner / n, k]], ["right", [n, k, outer / n]]] as const
    : [["blocks", [n, inner / n, outer / n]]] as const;
  const stored = (leaf: string): string =>
    fields["shared_W_phm"]
      ? leaf === "blocks" ? shared : `${shared}_${leaf}`
      : `${key}.W${leaf === "blocks" ? "" : `_${leaf}`}`;
  return [
    ...weights.map(([leaf, shape]) =>
      fields["shared_W_phm"]
        ? reading(`${path}.${leaf}`, shape, [{ key: stored(leaf), shape }], ([t]) => add(t!, 0))
        : same(`${path}.${leaf}`, stored(leaf), shape)
    ),
    fields["phm_bias"] ? same(`${path}.bias`, `${key}.b`, [outer]) : reading(
      `${path}.bias`,
      [outer],
      [{ key: stored(weights[0][0]), shape: weights[0][1] }],
      ([t]) => full([outer], 0, t!.backend),
    ),
    ...fields["shared_phm_rule"] ? [] : [rule(`${path}.rule`, `${key}.phm_rule`, n, fields)],
  ];
}

/** The common rule of all layers, where they share it. */
export function sharedRule(
  options: BottleneckAdapterOptions,
  fields: AdaptersFields,
  name: string,
): readonly Both[] {
  if (options.phm?.rule !== "shared") return [];
  return [rule("rule", `shared_parameters.${name}.phm_rule`, options.phm.dimension, fields)];
}

function rule(path: string, key: string, n: number, fields: AdaptersFields) {
  if (!fields["factorized_phm_rule"]) return same(path, key, [n, n, n]);
  const factors = [{ key: `${key}_left`, shape: [n, n, 1] }, { key: `${key}_right`, shape: [n, 1, n] }];
  return reading(path, [n, n, n], factors, ([left, right]) => matmul(left!, right!));
}
