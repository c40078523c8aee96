/** Conversion of bottleneck and invertible adapters to AdapterHub's fields. */
import { withDefaults } from "../peft/layers.ts";
import type { Json, Model } from "../../core/mod.ts";
import type { AdaptersFields } from "../../formats/adapters_fields.ts";
import { bottleneckAdapter, type BottleneckAdapterOptions } from "../adapters/bottleneck_adapter.ts";
import type { CompacterOptions } from "../adapters/compacter.ts";
import { invertibleAdapter, type InvertibleAdapterOptions } from "../adapters/invertible_adapter.ts";
import type { ParallelAdapterOptions } from "../adapters/parallel_adapter.ts";
import { activationName } from "./activations.ts";
import { inverseStands } from "./invertible.ts";
import { isPostNorm } from "./layout.ts";
import { type Component, leftOut, refuse } from "./components.ts";

/** Any bottleneck adapter as the general method. */
export function generalForm(component: Component, model: Model): BottleneckAdapterOptions {
  const options = component.options as BottleneckAdapterOptions & ParallelAdapterOptions & CompacterOptions;
  const { reduction, activation, after } = options;
  switch (component.method) {
    case "houlsby":
      return { after: after!, reduction: reduction!, activation: activation! };
    case "pfeiffer":
      return {
        reduction: reduction!,
        activation: activation!,
        reads: component.options["reads"] as "normed" | "output",
      };
    case "parallel-adapter":
      if (component.options["reads"] === "input" && !isPostNorm(model)) {
        refuse(
          component,
          'in a block with the norm in front its branch reads the residual stream: reads "residual"',
        );
      }
      if (options.dropout !== 0) {
        refuse(component, "the library drops behind the branch, not inside it: dropout 0");
      }
      return { reduction: reduction!, activation: activation!, reads: "residual", scale: options.scale! };
    case "compacter":
    case "compacter-plus-plus":
    case "phm-adapter": {
      const { dimension, rank } = options;
      return {
        after: after!,
        reduction: reduction!,
        activation: activation!,
        reads: (options.reads ?? "output") as "normed" | "output",
        phm: component.method === "phm-adapter"
          ? { dimension: dimension!, rank: "full", rule: "own" }
          : { dimension: dimension!, rank: rank!, rule: "shared" },
      };
    }
    default:
      return options;
  }
}

/** The fields of any bottleneck adapter in its general form. */
export function bottleneckFields(
  component: Component,
  options: BottleneckAdapterOptions,
  model: Model,
): AdaptersFields {
  const { after, reduction, activation, reads, keeps, norms, scale, residual, dropout, branchDropout, phm } =
    withDefaults(bottleneckAdapter, options);
  const sites = model.spec.sublayers.filter(({ role }) => after.includes(role));
  if (keeps !== "output" && reads !== "normed") {
    refuse(component, `it cannot keep "${keeps}" and read "${reads}"`);
  }
  if (keeps === "sum" && !isPostNorm(model)) {
    refuse(component, 'in a block with the norm in front "sum" is "normed": say so');
  }
  if (residual === "dropped" && isPostNorm(model)) {
    refuse(component, "the norm behind the block would be left out too");
  }
  if (norms.includes("branch") && norms.includes("whole")) refuse(component, "it has two norms behind");
  return {
    mh_adapter: after.includes("attention"),
    output_adapter: after.includes("feedForward"),
    cross_adapter: after.includes("cross"),
    reduction_factor: reduction as Json,
    non_linearity: activationName(activation),
    is_parallel: reads === "residual",
    original_ln_before: reads === "normed",
    original_ln_after: residual === "added",
    residual_before_ln: keeps === "output" ? true : keeps === "normed" ? false : "post_add",
    ln_before: norms.includes("before"),
    ln_after: norms.includes("branch") || norms.includes("whole"),
    adapter_residual_before_ln: norms.includes("whole"),
    scaling: scale,
    // The library cannot initialize sums of products like parallel adapters, and it initializes before
    // loading.
    init_weights: reads === "residual" && phm === undefined ? "mam_adapter" : "bert",
    dropout,
    stochastic_depth: branchDropout,
    leave_out: leftOut(component, sites, model),
    ...phm && {
      phm_layer: true,
      phm_dim: phm.dimension,
      factorized_phm_W: phm.rank !== "full",
      phm_rank: phm.rank === "full" ? 1 : phm.rank,
      shared_phm_rule: phm.rule === "shared",
    },
  };
}

/** The fields of an invertible adapter. */
export function invertibleFields(
  component: Component,
  options: InvertibleAdapterOptions,
  model: Model,
): AdaptersFields {
  const { stands, reduction, activation } = withDefaults(invertibleAdapter, options);
  if (stands === "tokens" && inverseStands(model) === "entrance") {
    refuse(component, 'the library has it where the text enters the blocks: stands "entrance"');
  }
  return {
    mh_adapter: false,
    output_adapter: false,
    non_linearity: activationName(activation),
    inv_adapter: "nice",
    inv_adapter_reduction_factor: reduction,
  };
}
