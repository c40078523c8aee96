/** What a method does beside its edits, for parameters that hold its own under `of`. */
import type { Method } from "../adapters/method.ts";
import type { Spec } from "../edits/place.ts";
import type { Tree } from "../../tensor/mod.ts";

/** The members of a method that combinators hand on. */
export type Lifted<Q extends Tree> = Partial<
  Pick<Method<Q>, "penalty" | "project" | "rates" | "adjust" | "settle">
>;

/**
 * Those members of a method that are there, for parameters with others beside its own.
 *
 * @param held The parameters with another `of`.
 * @param again The combinator on a settled method; without it the result does not settle.
 * @example
 * ```ts
 * import { lifted, lora } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.deepEqual(lifted(lora(), (of) => ({ of })), {}); // LoRA has none of them
 * ```
 */
export function lifted<P extends Tree, Q extends Tree & { readonly of: P }>(
  method: Method<P>,
  held: (of: P, params: Q) => Q,
  again?: (settled: Method<P>) => Method<Q>,
): Lifted<Q> {
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
    ...method.settle && again && {
      settle: (params: Q, spec: Spec) => {
        const settled = method.settle!(params.of, spec);
        return {
          ...settled,
          method: again(settled.method as Method<P>),
          params: held(settled.params as P, params),
        };
      },
    },
  } as Lifted<Q>;
}
