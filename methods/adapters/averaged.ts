/**
 * The weighted mean of the outputs of several adapters at every place of a model, as in AdapterHub's
 * `Average` (Poth et al. 2023, arXiv 2311.11077, section 4.2; AdapterSoup, Chronopoulou et al. 2023, arXiv
 * 2302.07027, averages the weights instead):
 *
 *   h ← Σ w_k f_k(h)          f_k(h) = h + δ_k(h), the state after adapter k
 *   y ← y + Σ w_k Δ_k(x)      LoRA's branches, and adapters parallel to a part: the averaged term does not contain y
 *   y ← y ⊙ Σ w_k l_k         (IA)³
 *
 * With Σ w_k = 1 all three are the same formula. AdapterHub 1.3 takes the mean of already weighted terms, so
 * that its weights add up to 1/K: `divided`.
 */
import {
  combined,
  compose,
  defineCombinator,
  type Edit,
  fn,
  fold,
  type HiddenCall,
  type HiddenEdit,
  type LinearCall,
  type LinearEdit,
  type Method,
  type MethodDefinition,
  methodsOf,
  paramsOf,
  type PartsOf,
  scaled,
  type Tensor,
  type Tree,
  type WeightCall,
} from "../../core/mod.ts";
import { flag, list, number, option } from "../../core/options/mod.ts";
import { add, addAll, multiply, reshape } from "../../ops/mod.ts";
import { rangeError, typeError } from "../../errors/error.ts";

/** Options of an average. */
export interface AveragedOptions {
  /** w_k in the order of the parts, default 1/K. */
  readonly weights?: readonly number[];
  /** Whether the weighted sum is additionally divided by K, as in AdapterHub 1.3; default false. */
  readonly divided?: boolean;
}

/**
 * The mean of several methods on one model. Parameters: those of each part under its name.
 *
 * @throws {RangeError} when there is no part, or not a finite weight for each.
 * @throws {TypeError} at `edits`, when a part changes anything but hidden states and linear layers, or scales inputs.
 * @example
 * ```ts
 * import { adapt, averaged, forward, freshModel, graft, houlsby, read, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const { method, params } = adapt(model, houlsby({ reduction: 4, deviation: 0.1 }));
 * const soup = averaged({ news: method, chat: method }, { weights: [0.25, 0.75] });
 * const logits = async (tuned: typeof model) => await read(forward(tuned, { inputIds: [[1, 2, 3]] }).logits);
 * const one = await logits(graft(model, { method, params }));
 * const mean = await logits(graft(model, { method: soup, params: { news: params, chat: params } }));
 * assert.ok(mean.every((x, i) => Math.abs(x - one[i]!) < 1e-5)); // the mean of one adapter with itself
 * ```
 */
export function averaged<M extends Readonly<Record<string, Method>>>(
  methods: M,
  options: AveragedOptions = {},
): Method<PartsOf<M>> {
  const names = Object.keys(methods);
  if (names.length === 0) {
    throw rangeError("INVALID_ARGUMENT", "Expected at least one method to average but found none");
  }
  const { weights = names.map(() => 1 / names.length), divided = false } = options;
  if (weights.length !== names.length || !weights.every(Number.isFinite)) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Expected ${names.length} finite weights, one a method, but found [${weights.join(", ")}]`,
    );
  }
  const shares = divided ? weights.map((w) => w / names.length) : weights;
  return combined<PartsOf<M>>({
    definition: averagedDefinition,
    name: `averaged(${names.join(", ")})`,
    config: { weights, divided },
    components: methods,
    init: compose(methods).init,
    edits: (params, spec) => {
      const parts = names.map((name, k) => {
        const own = params[name] as Tree;
        const edits = methods[name]!.edits(own, spec);
        for (const edit of edits) checkAveraged(name, edit);
        return { edits, scaled: scaled(methods[name]!, shares[k]!).edits(own, spec) };
      });
      const hidden = parts.map(({ edits }) => edits.filter((edit) => edit.kind === "hidden"));
      const rescaled = parts.map(({ edits }) => edits.filter(isScale));
      return [
        ...pathsOf(hidden).map((path) => meanState(path, hidden, shares)),
        ...pathsOf(rescaled).map((place) => meanScale(place, rescaled, shares)),
        ...parts.flatMap(({ edits, scaled }) =>
          scaled.filter((_, i) => edits[i]!.kind === "linear" && !isScale(edits[i]!))
        ),
      ];
    },
    of: (parts) => ({ method: averaged(methodsOf(parts), options), params: paramsOf(parts) }),
  });
}

/** `averaged` in records. */
export const averagedDefinition: MethodDefinition = defineCombinator(
  {
    name: "averaged",
    summary: "Takes the weighted mean of the outputs of several adapters.",
    facts: { parameters: "those of its parts" },
  },
  {
    weights: option(list(number), "the weight of each part; by default equal ones"),
    divided: option(flag, "whether the sum is divided by the number of parts once more", false),
  },
  (options, parts) => averaged(methodsOf(parts), options),
);

type ScaleEdit = LinearEdit & { readonly change: { readonly form: "scale" } };

const isScale = (edit: Edit): edit is ScaleEdit => edit.kind === "linear" && edit.change.form === "scale";

function checkAveraged(name: string, edit: Edit): void {
  const why = edit.row !== undefined
    ? "it is for some rows alone"
    : edit.kind !== "hidden" && edit.kind !== "linear"
    ? `a ${edit.kind} has no mean`
    : isScale(edit) && edit.change.in !== undefined
    ? "it scales inputs"
    : edit.kind === "linear" && edit.change.form === "input"
    ? "it turns inputs"
    : edit.kind === "linear" && edit.change.form === "output"
    ? "it turns outputs"
    : undefined;
  if (why !== undefined) {
    throw typeError("METHOD_DOES_NOT_FIT", `Cannot average "${name}" at "${edit.path}": ${why}`);
  }
}

/** The place of an edit; ranges of a fused projection are separate places. */
const placeOf = (edit: HiddenEdit | LinearEdit): string =>
  edit.kind === "linear" && edit.out !== undefined ? `${edit.path}[${edit.out}]` : edit.path;

const pathsOf = (parts: readonly (readonly (HiddenEdit | LinearEdit)[])[]): readonly string[] => [
  ...new Set(parts.flat().map(placeOf)),
];

/**
 * Σ w_k f_k(h) − h; where an adapter runs parallel to the part, Σ w_k δ_k. A missing part leaves h unchanged.
 */
function meanState(
  place: string,
  parts: readonly (readonly HiddenEdit[])[],
  shares: readonly number[],
): HiddenEdit {
  const here = parts.map((edits) => edits.filter((edit) => edit.path === place));
  const { path, reads } = here.flat()[0]!;
  const rest = shares.reduce((sum, w) => sum + w, 0) - 1;
  return {
    kind: "hidden",
    path,
    reads,
    delta: fn({ here }, ({ here }, call: HiddenCall): Tensor => {
      const changes = here.flatMap((edits, k) =>
        edits.length === 0 ? [] : [multiply(changeBy(edits, apart(call, k)), shares[k]!)]
      );
      const mean = addAll(changes);
      const beside = reads === "residual" || reads === "input";
      return beside || Math.abs(rest) < 1e-12 ? mean : add(mean, multiply(call.y, rest));
    }),
  };
}

/** What one adapter's edits at a place add, applied one after the other. */
export function changeBy(edits: readonly HiddenEdit[], call: HiddenCall): Tensor {
  return edits.reduce<{ readonly y: Tensor; readonly sum?: Tensor }>(({ y, sum }, edit) => {
    const delta = edit.delta.run({ ...call, y });
    return { y: add(y, delta), sum: sum === undefined ? delta : add(sum, delta) };
  }, { y: call.y }).sum!;
}

/** y ⊙ (Σ w_k l_k − 1). */
function meanScale(
  place: string,
  parts: readonly (readonly ScaleEdit[])[],
  shares: readonly number[],
): LinearEdit {
  const here = parts.map((edits) => edits.filter((edit) => placeOf(edit) === place));
  const { path, out } = here.flat()[0]!;
  const rest = shares.reduce((sum, w) => sum + w, 0) - 1;
  /** Σ w_k l_k − 1, [out]. */
  const excess = (here: readonly (readonly ScaleEdit[])[]): Tensor =>
    add(
      addAll(here.flatMap((edits, k) =>
        edits.map(({ change: { out, factor = 1 } }) => multiply(add(out!, -1), factor * shares[k]!))
      )),
      rest,
    );
  return {
    kind: "linear",
    path,
    ...out !== undefined && { out },
    change: {
      form: "delta",
      reads: "output",
      delta: fn(here, (here, { y }: LinearCall): Tensor => multiply(y, excess(here))),
      weight: fn(
        here,
        (here, { weight }: WeightCall): Tensor => multiply(weight, reshape(add(excess(here), 1), [-1, 1])),
      ),
      bias: fn(here, (here, { bias }: WeightCall): Tensor => multiply(bias!, add(excess(here), 1))),
    },
  };
}

/** Adapters at one place draw from separate keys. */
export function apart(call: HiddenCall, k: number): HiddenCall {
  return call.key === undefined ? call : { ...call, key: fold(call.key, k) };
}
