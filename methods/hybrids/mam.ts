/**
 * MAM adapter. He et al. 2021, "Towards a Unified View of Parameter-Efficient Transfer Learning", arXiv 2110.04366, section
 * 4.6: prefixes of few rows at every attention, and a scaled parallel adapter beside every feed-forward part.
 *
 * Each kind of attention (encoder, decoder, cross) has a network and rows of its own that make its prefixes. The prefixes take
 * no positions, as in the authors' code.
 */
import { compose, type Method, type PartsOf } from "../../core/mod.ts";
import { parallelAdapter, type ParallelAdapterOptions } from "../adapters/parallel_adapter.ts";
import { prefixTuning, type PrefixTuningOptions } from "../soft_prompts/prefix_tuning.ts";

/** Options of MAM. */
export interface MamOptions {
  /** Of the prefixes; default 30 rows made by a network of width 800. */
  readonly prefix?: PrefixTuningOptions;
  /** Of the adapter; default d / 2 and scale 4. The paper's small setting is 16 rows, reduction 48, scale 2. */
  readonly parallel?: ParallelAdapterOptions;
}

/**
 * MAM as a composition, with parameters under `prefix` and `parallel`.
 *
 * @throws {RangeError} when an option of either part is out of range.
 * @example
 * ```ts
 * import { mam } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(mam({ prefix: { length: 16 } }).name, "compose(prefix, parallel)");
 * ```
 */
export function mam(
  { prefix, parallel }: MamOptions = {},
): Method<PartsOf<{ readonly prefix: Method; readonly parallel: Method }>> {
  return compose({
    prefix: prefixTuning({ length: 30, network: { hidden: 800 }, positions: "none", ...prefix }),
    parallel: parallelAdapter(parallel),
  });
}
