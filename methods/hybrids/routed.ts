/**
 * A mixture of experts of any kind: at each place a router distributes the tokens over the methods that
 * change it (Jacobs et al. 1991; sparsely gated, Shazeer et al. 2017, arXiv 1701.06538, equation 1, without
 * its noise):
 *
 *   y ← y + Σ_k λ_k δ_k(y)      λ = softmax( (W x + b) / τ ) over the experts at that place, of which k may be kept
 *
 * x is a layer's input, or the state at a component. Every expert sees the base's output there, regardless of the
 * others. Where only one expert is present its weight is 1.
 */
import {
  combined,
  compose,
  defineCombinator,
  type Edit,
  fn,
  fold,
  type HiddenCall,
  key as keyOf,
  type LinearCall,
  type Method,
  type MethodDefinition,
  methodsOf,
  nest,
  paramsAt,
  paramsOf,
  type PartsOf,
  scope,
  type Spec,
  type Synchronous,
  type Tensor,
  type Tree,
  under,
  widthAt,
} from "../../core/mod.ts";
import { any, count, number, oneOf, option } from "../../core/options/mod.ts";
import { add, multiply, normal, slice, zeros } from "../../ops/mod.ts";
import { type Affine, affine } from "../shared/affine.ts";
import { expertShares, type ShareOptions } from "../shared/expert_shares.ts";
import {
  type AdditiveEdit,
  editAt,
  effectAt,
  reasonNotAdditive,
  type SharedPlace,
  sharedPlaces,
} from "./shared_place.ts";
import { rangeError, typeError } from "../../errors/error.ts";

/** Options of a mixture of methods. */
export interface RoutedOptions extends ShareOptions {
  /**
   * Standard deviation of the routers' initial weights, default 0.02; their biases are 0, so that all experts
   * start with nearly equal weights.
   */
  readonly deviation?: number;
}

/**
 * A mixture's parameters: those of each expert under its name in `of`, and one router per place under
 * `routers`.
 */
export type Routed<P extends Tree> = { readonly of: P; readonly routers: Tree };

/**
 * Several methods on one model, weighted by a router at every place and token. Parameters: those of each
 * expert under `of.<name>`, and under `routers.<place>` `weight` [K, width] and `bias` [K] for the K ≥ 2
 * experts there. No weight can store a dependence on the input, so a mixture cannot be merged. With `topK` 1
 * and `chosen` "softmax" a share is 1 and routers learn nothing.
 *
 * @throws {RangeError} when there are fewer than two experts or a number is out of range; at `init`, when no
 * two of them share a place.
 * @throws {TypeError} at `edits`, when an expert changes anything but linear layers and hidden states.
 * @example
 * ```ts
 * import { adapt, freshModel, houlsby, lora, reference, routed, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const experts = { a: lora({ rank: 2 }), b: lora({ rank: 4 }), c: houlsby({ reduction: 4 }) };
 * const { params } = adapt(model, routed(experts, { topK: 1 }));
 * assert.deepEqual(Object.keys(params), ["of", "routers"]);
 * ```
 */
export function routed<M extends Readonly<Record<string, Method>>>(
  experts: M,
  options: RoutedOptions = {},
): Method<Routed<PartsOf<M>>> {
  const names = Object.keys(experts);
  check(options, names.length);
  const all = compose(experts);
  const places = (of: PartsOf<M>, spec: Spec): readonly SharedPlace[] =>
    sharedPlaces(
      names.map((name) => experts[name]!.edits(of[name] as Tree, spec).map((edit) => adding(name, edit))),
    );
  return combined<Routed<PartsOf<M>>>({
    definition: routedDefinition,
    name: `routed(${names.join(", ")})`,
    config: { ...options },
    components: experts,
    at: (name) => ["of", name],
    init: ({ model, key }) =>
      scope((): Synchronous<Routed<PartsOf<M>>> => {
        const of = all.init({ model, key: fold(keyOf(key), "of") });
        const met = places(of, model.spec).filter(meets);
        if (met.length === 0) {
          throw rangeError(
            "METHOD_DOES_NOT_FIT",
            `Cannot route ${names.join(", ")}: no two of them change the same place`,
          );
        }
        const routers = met.flatMap(({ name, first, components }) => {
          const [n, width] = [components.length, widthAt(first, model.spec)];
          const weight = normal(fold(keyOf(key), name), [n, width], model.backend, options.deviation ?? 0.02);
          return under(name, { weight, bias: zeros([n], model.backend) });
        });
        return { of, routers: nest(routers) as Tree } as Synchronous<Routed<PartsOf<M>>>;
      }),
    edits: (params, spec) =>
      places(params.of, spec).flatMap((place): readonly Edit[] =>
        meets(place)
          ? [mixed(place, paramsAt(params, `routers.${place.name}`) as Affine, options)]
          : place.components[0]!.edits
      ),
    of: (components, { routers }) => ({
      method: routed(methodsOf(components), options),
      params: { of: paramsOf(components), routers },
    }),
  });
}

/** `routed` in records. */
export const routedDefinition: MethodDefinition = defineCombinator(
  { name: "routed", summary: "Mixes several methods for each token by a learned router." },
  {
    temperature: option(
      any(number, oneOf("none")),
      "τ of the softmax, or none to take the routers' outputs",
      1,
    ),
    topK: option(count, "how many experts a token keeps; by default all"),
    chosen: option(oneOf("keep", "softmax"), "what follows when some are kept", "keep"),
    deviation: option(number, "standard deviation of the routers' first weights", 0.02),
  },
  (options, components) => routed(methodsOf(components), options),
  (name) => ["of", name],
);

const meets = ({ components }: SharedPlace): boolean => components.length > 1;

/** One edit that replaces all edits at the place. */
function mixed(place: SharedPlace, router: Affine, options: ShareOptions): Edit {
  const { first, components } = place;
  const delta = fn(
    { router, components },
    ({ router, components }, call: LinearCall | HiddenCall): Tensor => {
      const λ = expertShares(affine(router, first.kind === "linear" ? call.x : call.y), options); // [..., K]
      const last = λ.shape.length - 1;
      return components
        .map((component, k) => multiply(effectAt(component, call), slice(λ, last, k, k + 1)))
        .reduce((sum, effect) => add(sum, effect));
    },
  );
  return editAt(place, "input", delta);
}

function adding(name: string, edit: Edit): AdditiveEdit {
  const why = reasonNotAdditive(edit);
  if (why !== undefined) {
    throw typeError("METHOD_DOES_NOT_FIT", `Cannot route "${name}" at "${edit.path}": ${why}`);
  }
  return edit as AdditiveEdit;
}

function check({ topK, temperature = 1, deviation = 0.02 }: RoutedOptions, n: number): void {
  if (n < 2) throw rangeError("INVALID_ARGUMENT", `Expected at least two experts but found ${n}`);
  if (topK !== undefined && !(Number.isInteger(topK) && topK >= 1)) {
    throw rangeError("INVALID_ARGUMENT", `Expected topK to be a positive integer but found ${topK}`);
  }
  if (temperature !== "none" && !(temperature > 0)) {
    throw rangeError("INVALID_ARGUMENT", `Expected temperature above 0 but found ${temperature}`);
  }
  if (!(deviation >= 0 && Number.isFinite(deviation))) {
    throw rangeError("INVALID_ARGUMENT", `Expected deviation to be a number from 0 but found ${deviation}`);
  }
}
