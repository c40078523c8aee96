/**
 * The skeleton that adapters of hidden states share: places, keys, what is read. What is left to a method is its formula: the
 * parameters of one place, and what they add to the output of a part of a block.
 */
import {
  type Adapter,
  type Backend,
  type DefinedMethod,
  defineMethod,
  fn,
  fold,
  type HiddenCall,
  type HiddenEdit,
  type HiddenReading,
  type Key,
  key as keyOf,
  type MethodSpec,
  paramsAt,
  type Spec,
  type SublayerPlace,
  Tensor,
  type Tree,
  under,
} from "../../core/mod.ts";
import type { Filled } from "../../core/options/mod.ts";
import { feedForwards } from "./bottleneck.ts";
import { freshParams } from "./initial_factors.ts";
import { rangeError } from "../../errors/error.ts";

/** The parts of a block after which adapters are placed. */
export type AdapterPosition = SublayerPlace["role"];

/** From what parameters are drawn. */
export interface Drawing {
  readonly key: Key;
  readonly backend: Backend;
}

/** What `defineHidden` is given: `L` are the parameters of a place, with those that all places share. */
export interface HiddenSpec<O, L> extends Omit<MethodSpec<O>, "create"> {
  /** Refuses options that do not go together. @throws {RangeError} */
  check?(options: Filled<O>): void;
  /** After which parts of a block; default the feed-forward parts. */
  after?(options: Filled<O>): readonly AdapterPosition[];
  /** Refuses a place, before anything is drawn. @throws {RangeError} */
  fits?(place: SublayerPlace, options: Filled<O>, spec: Spec): void;
  /** Parameters that all places share. */
  shared?(options: Filled<O>, from: Drawing): Tree;
  /** The parameters of a place, stored under its path; the key is the place's own. */
  params(place: SublayerPlace, options: Filled<O>, from: Drawing, spec: Spec): Tree;
  /** What is read. */
  reads(options: Filled<O>): HiddenReading;
  /** What is added to the output [b, t, d]: to each token what follows from that token alone. */
  delta(params: L, call: HiddenCall, options: Filled<O>): Tensor;
  /** What remains after training, where that is less. */
  finalize?(params: Tree, options: Filled<O>): Adapter;
}

/** Defines an adapter of hidden states by the parameters of one place and what they add there. */
export function defineHidden<O, L>(given: HiddenSpec<O, L>): DefinedMethod<O> {
  const { check, after, fits, shared, params, reads, delta, finalize, ...known } = given;
  return defineMethod<O>({
    ...known,
    create: (options) => {
      check?.(options);
      const sites = (spec: Spec): readonly SublayerPlace[] =>
        after === undefined ? feedForwards(spec, known.name) : adapterSites(spec, known.name, after(options));
      return {
        init: ({ model: { spec, backend }, key }) =>
          freshParams(() => {
            const places = sites(spec);
            for (const place of places) fits?.(place, options, spec);
            const seed = keyOf(key);
            return [
              ...Object.entries(shared?.(options, { key: seed, backend }) ?? {}) as [string, Tensor][],
              ...places.flatMap((place) =>
                under(place.path, params(place, options, { key: fold(seed, place.path), backend }, spec))
              ),
            ];
          }),
        edits: (tree, spec) => {
          const all = Object.fromEntries(Object.entries(tree).filter(([, leaf]) => leaf instanceof Tensor));
          return sites(spec).map(({ path }): HiddenEdit => ({
            kind: "hidden",
            path,
            reads: reads(options),
            eachToken: true,
            delta: fn({ ...all, ...paramsAt(tree, path) } as L, (own, call) => delta(own, call, options)),
          }));
        },
        ...finalize && { finalize: (tree) => finalize(tree, options) },
      };
    },
  });
}

/** The parts of the blocks with one of the roles. @throws {RangeError} when there is none. */
function adapterSites(
  spec: Spec,
  method: string,
  after: readonly AdapterPosition[],
): readonly SublayerPlace[] {
  if (after.length === 0) {
    throw rangeError("INVALID_ARGUMENT", `Expected after to name at least one part of a block for ${method}`);
  }
  const found = spec.sublayers.filter(({ role }) => after.includes(role));
  if (found.length === 0) {
    throw rangeError(
      "METHOD_DOES_NOT_FIT",
      `Cannot place ${method}: the model offers no ${after.join(" or ")} part`,
    );
  }
  return found;
}
