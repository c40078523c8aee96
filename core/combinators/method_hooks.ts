/**
 * The optional members of a method (`penalty`, `project`, `rates`, …), carried over to combinators that keep
 * its parameters under the key `of`.
 */
import type { Method } from "../adapters/method.ts";
import type { Spec } from "../edits/place.ts";
import type { Tree } from "../../tensor/mod.ts";

/** The optional members of a method that combinators pass on. */
export type MethodHooks<Q extends Tree> = Partial<
  Pick<Method<Q>, "penalty" | "project" | "rates" | "adjust" | "finalize">
>;

/**
 * The members that a method has, adapted to parameters that hold others alongside its own.
 *
 * @param held Replaces `of` in the parameters.
 * @param again Applies the combinator to a finalized method; without it the result has no `finalize`.
 * @example
 * ```ts
 * import { methodHooks, lora } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.deepEqual(methodHooks(lora(), (of) => ({ of })), {}); // LoRA has none of them
 * ```
 */
export function methodHooks<P extends Tree, Q extends Tree & { readonly of: P }>(
  method: Method<P>,
  held: (of: P, params: Q) => Q,
  again?: (finalized: Method<P>) => Method<Q>,
): MethodHooks<Q> {
  return {
    ...method.penalty && { penalty: ({ of }: Q, spec: Spec) => method.penalty!(of, spec) },
    ...method.project && { project: (params: Q) => held(method.project!(params.of), params) },
    ...method.rates && {
      rates: ({ params, ...given }: Parameters<NonNullable<Method<Q>["rates"]>>[0]) => {
        const rate = method.rates!({ ...given, params: params.of });
        return (path: string) => path.startsWith("of.") ? rate(path.slice(3)) : 1;
      },
    },
    ...method.adjust && {
      adjust: async ({ params, gradients, ...given }: Parameters<NonNullable<Method<Q>["adjust"]>>[0]) => {
        const { params: of, state } = await method.adjust!({
          ...given,
          params: params.of,
          gradients: gradients.of as Tree,
        });
        return { params: held(of, params), state };
      },
    },
    ...method.finalize && again && {
      finalize: (params: Q, spec: Spec) => {
        const finalized = method.finalize!(params.of, spec);
        return {
          ...finalized,
          method: again(finalized.method as Method<P>),
          params: held(finalized.params as P, params),
        };
      },
    },
  } as MethodHooks<Q>;
}
