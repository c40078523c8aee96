/** The edits of several methods at one place, where each should see the base's output. */
import {
  type Edit,
  type Fn,
  fold,
  gatePath,
  type HiddenCall,
  type HiddenEdit,
  type LinearCall,
  type LinearEdit,
  linearEffect,
  type Tensor,
} from "../../core/mod.ts";
import { add } from "../../ops/mod.ts";
import { apart, changeBy } from "../adapters/averaged.ts";

/** An edit that adds something to y, whatever its form. */
export type AdditiveEdit = LinearEdit | HiddenEdit;

/** One component's edits at a place. */
export interface ComponentHere {
  /** Index of the component. */
  readonly component: number;
  readonly edits: readonly AdditiveEdit[];
}

/** A place with the components that change it, in order. */
export interface SharedPlace {
  /** Identifies the place; components of a fused projection are separate places. */
  readonly name: string;
  readonly first: AdditiveEdit;
  readonly components: readonly ComponentHere[];
}

/** The places that components change, in the order of their first edit. */
export function sharedPlaces(components: readonly (readonly AdditiveEdit[])[]): readonly SharedPlace[] {
  const names = [...new Set(components.flat().map(gatePath))];
  return names.map((name) => {
    const here = components.flatMap((edits, component): readonly ComponentHere[] => {
      const own = edits.filter((edit) => gatePath(edit) === name);
      return own.length === 0 ? [] : [{ component, edits: own }];
    });
    return { name, first: here[0]!.edits[0]!, components: here };
  });
}

/** What a component's edits at a place add to y, applied one after the other. */
export function effectAt({ component, edits }: ComponentHere, call: LinearCall | HiddenCall): Tensor {
  const hidden = edits.filter((edit): edit is HiddenEdit => edit.kind === "hidden");
  if (hidden.length > 0) return changeBy(hidden, apart(call as HiddenCall, component));
  const linear = edits as readonly LinearEdit[];
  const { y } = call;
  let sum: Tensor | undefined;
  for (const [i, { change }] of linear.entries()) {
    const key = call.key === undefined ? undefined : fold(fold(call.key, component), i);
    const delta = linearEffect(change).run({
      ...call as LinearCall,
      key,
      y: sum === undefined ? y : add(y, sum),
    });
    sum = sum === undefined ? delta : add(sum, delta);
  }
  return sum!;
}

/** One edit that replaces all edits at the place; `reads` is what the edit of a linear layer reads. */
export function editAt(
  { first }: SharedPlace,
  reads: "input" | "output",
  delta: Fn<LinearCall | HiddenCall, Tensor>,
): Edit {
  return first.kind === "hidden" ? { kind: "hidden", path: first.path, reads: first.reads, delta } : {
    kind: "linear",
    path: first.path,
    ...first.out !== undefined && { out: first.out },
    change: { form: "delta", reads, delta },
  };
}

/** Why an edit is not an addition to y, or undefined if it is. */
export function reasonNotAdditive(edit: Edit): string | undefined {
  return edit.kind !== "hidden" && edit.kind !== "linear"
    ? `a ${edit.kind} adds nothing to a layer's or a component's output`
    : edit.row !== undefined
    ? "it is for some rows alone"
    : undefined;
}
