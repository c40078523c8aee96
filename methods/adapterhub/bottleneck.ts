/** Conversion of bottleneck adapters from AdapterHub's `BnConfig` to methods. */
import { onlyBlocks } from "./only_blocks.ts";
import {
  at,
  gated,
  type Json,
  type Method,
  type Model,
  type Place,
  type SublayerPlace,
} from "../../core/mod.ts";
import type { AdaptersFields } from "../../formats/adapters_fields.ts";
import { bottleneckAdapter, type BottleneckAdapterOptions } from "../adapters/bottleneck_adapter.ts";
import { compacter } from "../adapters/compacter.ts";
import { houlsby } from "../adapters/houlsby.ts";
import { parallelAdapter } from "../adapters/parallel_adapter.ts";
import { pfeiffer } from "../adapters/pfeiffer.ts";
import { phmAdapter } from "../adapters/phm_adapter.ts";
import { sentenceGate } from "../hybrids/sentence_gate.ts";
import type { AdapterPosition } from "../shared/define_hidden.ts";
import { bottleneckRank } from "../shared/bottleneck.ts";
import { activationOf } from "./activations.ts";
import { invertiblePart } from "./invertible.ts";
import {
  adapterModule,
  type AdaptersPart,
  all,
  blockNumber,
  type Both,
  gate,
  isPostNorm,
  prefixed,
  same,
} from "./layout.ts";
import { phmTensors, sharedRule } from "./phm.ts";
import { BOTTLENECK } from "./kinds.ts";
import { rangeError } from "../../errors/error.ts";

/** The predicate for blocks that are not excluded; undefined when none is. */
export function blocksWithout(
  leaveOut: Json,
  model: Model,
): ((place: Place) => boolean) | undefined {
  const left = leaveOut as readonly number[];
  if (left.length === 0) return undefined;
  return (place) => place.layer === undefined || !left.includes(blockNumber(model, place));
}

/** The end of an error message: possibly everything was excluded. */
export function exceptThose(leaveOut: Json): string {
  const left = leaveOut as readonly number[];
  return left.length === 0 ? "" : ` outside of blocks ${left.join(", ")}, which leave_out names`;
}

/** The parts that a `BnConfig` describes. @throws {RangeError} when the model cannot have one. */
export function bottleneckParts(
  fields: AdaptersFields,
  model: Model,
  name: string,
  modelClass: string,
): readonly AdaptersPart[] {
  const inverse = fields["inv_adapter"] === null ? [] : [invertiblePart(fields, model, name, modelClass)];
  const after = positionsOf(fields);
  if (after.length === 0) return inverse;
  const options = optionsOf(fields, after, model);
  const stays = blocksWithout(fields["leave_out"]!, model);
  const sites = model.spec.sublayers.filter((place) =>
    after.includes(place.role) && (stays?.(place) ?? true)
  );
  if (sites.length === 0) {
    throw rangeError(
      "METHOD_DOES_NOT_FIT",
      `Cannot place the adapter "${name}": the model has no ${after.join(" or ")} part for it` +
        exceptThose(fields["leave_out"]!),
    );
  }
  const plain = methodOf(options, isPostNorm(model));
  const method = stays === undefined ? plain : at(onlyBlocks(model.spec, stays), plain);
  const own = all([
    ...sharedRule(options, fields, name),
    ...sites.map((site) => siteTensors(site, options, fields, model, name)),
  ]);
  if (fields["use_gating"] !== true) return [...inverse, { kind: BOTTLENECK, method, ...own }];
  const behind = (options.keeps ?? "output") !== "output" || options.residual === "dropped" ||
    options.norms?.some((at) => at !== "before");
  if (behind) {
    throw rangeError(
      "ADAPTER_UNSUPPORTED",
      `Cannot load the adapter "${name}": a gate on a branch whose norm or residual stands behind it is not supported`,
    );
  }
  const gates = sites.map((site) =>
    gate(`${site.path}.hidden`, `${adapterModule(site, model)}.adapters.${name}.gate`, site.width)
  );
  return [...inverse, {
    kind: BOTTLENECK,
    method: gated(method, sentenceGate()),
    ...all([prefixed("of", own), ...gates]),
  }];
}

function positionsOf(fields: AdaptersFields): readonly AdapterPosition[] {
  return [
    ...fields["mh_adapter"] ? ["attention" as const] : [],
    ...fields["cross_adapter"] ? ["cross" as const] : [],
    ...fields["output_adapter"] ? ["feedForward" as const] : [],
  ];
}

/** The fields as options of the general method. */
function optionsOf(
  fields: AdaptersFields,
  after: readonly AdapterPosition[],
  model: Model,
): BottleneckAdapterOptions {
  const parallel = fields["is_parallel"] === true;
  const before = fields["original_ln_before"] === true && !parallel;
  const residual = fields["residual_before_ln"]!;
  const post = isPostNorm(model);
  if (residual === "post_add" && !parallel && !(before && post)) {
    throw rangeError(
      "ADAPTER_UNSUPPORTED",
      'Cannot load an adapter with residual_before_ln "post_add": that needs original_ln_before and blocks with a norm behind',
    );
  }
  if (![true, false, "post_add"].includes(residual as boolean)) {
    throw rangeError(
      "ADAPTER_UNSUPPORTED",
      `Cannot load an adapter with residual_before_ln ${JSON.stringify(residual)}`,
    );
  }
  if (fields["original_ln_after"] === false && post) {
    throw rangeError(
      "ADAPTER_MISMATCH",
      "Cannot load an adapter with original_ln_after false on this model: the norm behind its blocks cannot be left out",
    );
  }
  const whole = fields["ln_after"] === true && fields["adapter_residual_before_ln"] === true && !parallel;
  const norms = [
    ...fields["ln_before"] ? ["before" as const] : [],
    ...fields["ln_after"] ? [whole ? "whole" as const : "branch" as const] : [],
  ];
  const keeps = !before || residual === true ? "output" : residual === false ? "normed" : "sum";
  const scaling = fields["scaling"]!;
  if (typeof scaling !== "number" && scaling !== "learned" && scaling !== "channel") {
    throw rangeError("ADAPTER_UNSUPPORTED", `Cannot load an adapter with scaling ${JSON.stringify(scaling)}`);
  }
  return {
    after,
    reduction: fields["reduction_factor"] as number,
    activation: activationOf(fields["non_linearity"]!),
    reads: parallel ? "residual" : before ? "normed" : "output",
    ...keeps !== "output" && { keeps },
    ...norms.length > 0 && { norms },
    ...scaling !== 1 && { scale: scaling },
    ...fields["original_ln_after"] === false && { residual: "dropped" as const },
    ...fields["dropout"] !== 0 && { dropout: fields["dropout"] as number },
    ...fields["stochastic_depth"] !== 0 && !parallel &&
      { branchDropout: fields["stochastic_depth"] as number },
    ...fields["phm_layer"] && {
      phm: {
        dimension: fields["phm_dim"] as number,
        rank: fields["factorized_phm_W"] ? fields["phm_rank"] as number : "full" as const,
        rule: fields["shared_phm_rule"] ? "shared" as const : "own" as const,
      },
    },
  };
}

/** The specific method where there is one. Names and shapes of parameters are the same. */
function methodOf(options: BottleneckAdapterOptions, post: boolean): Method {
  const { after = [], reduction, activation = "relu", reads = "output", scale = 1, phm, ...rest } = options;
  const plain = Object.keys(rest).length === 0 && typeof reduction === "number" && reduction >= 1;
  const behindOnly = after.join() === "feedForward";
  if (plain && phm === undefined && scale === 1 && reads === "normed" && behindOnly) {
    return pfeiffer({ reduction, activation });
  }
  if (plain && phm === undefined && scale === 1 && reads === "output") {
    return houlsby({ reduction, activation, after, deviation: 0.02 });
  }
  if (plain && phm === undefined && reads === "residual" && behindOnly && scale !== "channel") {
    return parallelAdapter({ reduction, activation, scale, reads: post ? "input" : "residual" });
  }
  if (plain && phm?.rule === "shared" && phm.rank !== "full" && scale === 1 && reads !== "residual") {
    const { dimension, rank } = phm;
    return compacter({ reduction, activation, after, dimension, rank, reads });
  }
  if (plain && phm?.rule === "own" && phm.rank === "full" && scale === 1 && reads === "output") {
    return phmAdapter({ reduction, activation, after, dimension: phm.dimension });
  }
  return bottleneckAdapter(options);
}

/** r, by Python's floor division. */
function rankAt(site: SublayerPlace, fields: AdaptersFields, model: Model): number {
  const given = fields["reduction_factor"]!;
  const number = blockNumber(model, site);
  const factor = typeof given === "object" && given !== null
    ? (given as AdaptersFields)[number] ?? (given as AdaptersFields)["default"]
    : given;
  if (typeof factor !== "number" || !(factor > 0)) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Expected reduction_factor to be a number above 0, for each block or as "default", but found ${
        JSON.stringify(given)
      }`,
    );
  }
  return bottleneckRank(site.width, factor);
}

function siteTensors(
  site: SublayerPlace,
  options: BottleneckAdapterOptions,
  fields: AdaptersFields,
  model: Model,
  name: string,
): Both {
  const { path, width: d } = site;
  const r = rankAt(site, fields, model);
  const key = `${adapterModule(site, model)}.adapters.${name}`;
  const norms = options.norms ?? [];
  const down = norms.includes("before") ? "adapter_down.1" : "adapter_down.0";
  const norm = (at: string, module: string, also: readonly string[]) =>
    ["weight", "bias"].map((leaf) =>
      same(
        `${path}.norms.${at}.${leaf}`,
        `${key}.${module}.${leaf}`,
        [d],
        [d],
        also.map((a) => `${key}.${a}.${leaf}`),
      )
    );
  return all([
    ...options.phm === undefined
      ? [
        same(`${path}.down.weight`, `${key}.${down}.weight`, [r, d]),
        same(`${path}.down.bias`, `${key}.${down}.bias`, [r]),
        same(`${path}.up.weight`, `${key}.adapter_up.weight`, [d, r]),
        same(`${path}.up.bias`, `${key}.adapter_up.bias`, [d]),
      ]
      : [
        ...phmTensors(`${path}.down`, `${key}.${down}`, "down", d, r, fields, name),
        ...phmTensors(`${path}.up`, `${key}.adapter_up`, "up", r, d, fields, name),
      ],
    ...typeof options.scale === "string"
      ? [same(`${path}.scale`, `${key}.scaling`, [options.scale === "learned" ? 1 : d])]
      : [],
    ...norms.includes("before") ? norm("before", "adapter_norm_before", ["adapter_down.0"]) : [],
    ...norms.includes("branch") ? norm("branch", "adapter_norm_after", []) : [],
    ...norms.includes("whole") ? norm("whole", "adapter_norm_after", []) : [],
  ]);
}
