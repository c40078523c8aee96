/** What multiplies a gated method's changes. */
import type { Backend, Key, Tensor, Tree } from "../../tensor/mod.ts";
import type { Json } from "../options/json.ts";
import type { JsonOptions } from "../options/option_json.ts";

/** A gate: initial parameters for an input width, and its value, which broadcasts against [b, t, d]. */
export interface Gate {
  /** Its name in configs and error messages. */
  readonly name: string;
  /** Its options. */
  readonly config: { readonly [name: string]: Json };
  /** Initial parameters for states of the given width. */
  init(width: number, key: Key, backend: Backend): Tree;
  /** x [b, t, width] → [b or 1, t or 1, 1]; for a prefix, [b or 1, 1, 2] gates keys and values separately. */
  value(params: Tree, x: Tensor): Tensor;
}

/** What is known of a gate: how one that was saved is restored. */
export interface GateDefinition {
  /** Its name in records. */
  readonly gate: string;
  /** The gate from its options. */
  createGate(config: JsonOptions): Gate;
}
