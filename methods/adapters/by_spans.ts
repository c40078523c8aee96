/**
 * Several adapters along a text: each applies to the tokens of its span, as in AdapterHub's `Split` (Poth et
 * al. 2023, arXiv 2311.11077, section 4.2).
 *
 *   h[:, a_k : b_k] ← f_k(h[:, a_k : b_k])          a_0 = 0, a_k = b_{k−1}, b_K = t
 *
 * Every text of a batch has the same spans, counted in padded tokens; together they are as long as the padded text.
 */
import {
  combined,
  compose,
  defineCombinator,
  fn,
  type HiddenCall,
  type HiddenEdit,
  type Method,
  type MethodDefinition,
  methodsOf,
  paramsOf,
  type PartsOf,
  type Tensor,
  type Tree,
} from "../../core/mod.ts";
import { bounded, count, list, option } from "../../core/options/mod.ts";
import { concat, slice, zeros } from "../../ops/mod.ts";
import { apart, changeBy } from "./averaged.ts";
import { checkPositive } from "../shared/option_checks.ts";
import { rangeError, typeError } from "../../errors/error.ts";

/**
 * Several methods on one model, each for a span of tokens. Parameters: those of each part under its name. A
 * text of another length is refused, and so is token-by-token generation.
 *
 * @param lengths How many tokens each part gets, in their order.
 * @throws {RangeError} when there is no part, or not a positive length for each.
 * @throws {TypeError} at `edits`, when a part changes anything but hidden states.
 * @example
 * ```ts
 * import { adapt, bySpans, forward, freshModel, graft, houlsby, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const tuned = graft(model, adapt(model, bySpans({ question: houlsby(), text: houlsby() }, [2, 3])));
 * assert.deepEqual(forward(tuned, { inputIds: [[1, 2, 3, 4, 5]] }).logits.shape, [1, 5, 32]);
 * assert.throws(() => forward(tuned, { inputIds: [[1, 2, 3, 4]] }), /a text of 4 tokens: together they are 5/);
 * ```
 */
export function bySpans<M extends Readonly<Record<string, Method>>>(
  methods: M,
  lengths: readonly number[],
): Method<PartsOf<M>> {
  const names = Object.keys(methods);
  if (names.length === 0) {
    throw rangeError("INVALID_ARGUMENT", "Expected at least one method for spans but found none");
  }
  if (lengths.length !== names.length) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Expected ${names.length} lengths, one a method, but found [${lengths.join(", ")}]`,
    );
  }
  for (const length of lengths) checkPositive("lengths", length);
  const ends = lengths.map((_, k) => lengths.slice(0, k + 1).reduce((a, b) => a + b, 0));
  return combined<PartsOf<M>>({
    definition: bySpansDefinition,
    name: `bySpans(${names.join(", ")})`,
    config: { lengths },
    components: methods,
    init: compose(methods).init,
    edits: (params, spec) => {
      const parts = names.map((name) =>
        methods[name]!.edits(params[name] as Tree, spec).map((edit) => {
          if (edit.kind === "hidden" && edit.row === undefined) return edit;
          throw typeError(
            "METHOD_DOES_NOT_FIT",
            `Cannot give a span of tokens to "${name}": its edit at "${edit.path}" is a ${edit.kind}${
              edit.row === undefined ? "" : " for some rows alone"
            }, but only what adds to hidden states can have one`,
          );
        })
      );
      return [...new Set(parts.flat().map(({ path }) => path))].map((path) => spanned(path, parts, ends));
    },
    of: (components) => ({ method: bySpans(methodsOf(components), lengths), params: paramsOf(components) }),
  });
}

/** `bySpans` in records. */
export const bySpansDefinition: MethodDefinition = defineCombinator(
  {
    name: "by-spans",
    summary: "Applies each of several adapters to its own span of every text.",
    facts: { parameters: "those of its components" },
  },
  { lengths: option(list(bounded(count, "positions")), "how many tokens each part gets, in their order") },
  ({ lengths = [] }, components) => bySpans(methodsOf(components), lengths as readonly number[]),
);

function spanned(
  path: string,
  parts: readonly (readonly HiddenEdit[])[],
  ends: readonly number[],
): HiddenEdit {
  const here = parts.map((edits) => edits.filter((edit) => edit.path === path));
  return {
    kind: "hidden",
    path,
    reads: here.flat()[0]!.reads,
    delta: fn({ here }, ({ here }, call: HiddenCall): Tensor => {
      const [, t] = call.y.shape as [number, number, number];
      if (t !== ends.at(-1)) {
        throw rangeError(
          "METHOD_DOES_NOT_FIT",
          `Cannot give spans at "${path}" a text of ${t} tokens: together they are ${ends.at(-1)} long`,
        );
      }
      return concat(
        here.map((edits, k) => {
          const span = within(apart(call, k), ends[k - 1] ?? 0, ends[k]!);
          return edits.length === 0 ? zeros(span.y.shape, span.y.backend) : changeBy(edits, span);
        }),
        1,
      );
    }),
  };
}

/** The call as seen by a part that applies to tokens `from` up to `to`. */
function within(call: HiddenCall, from: number, to: number): HiddenCall {
  const t = call.y.shape[1];
  const cut = <T extends Tensor | undefined>(tokens: T): T =>
    tokens === undefined || tokens.shape[1] !== t ? tokens : slice(tokens, 1, from, to) as T;
  const { x, y, skip, ids, mask, given } = call;
  return {
    ...call,
    x: cut(x),
    y: cut(y),
    skip: cut(skip),
    ids: cut(ids),
    mask: cut(mask),
    given: cut(given),
  };
}
