/** The edit that takes another's effect out of weights again. */
import { divide } from "../../ops/mod.ts";
import { scalesOf } from "../edits/fold.ts";
import { scaledMap } from "../linear_maps/linear_map.ts";
import type { Edit } from "../edits/edit.ts";
import { typeError } from "../../errors/error.ts";

/** @throws {TypeError} when the effect cannot be subtracted from weights. */
export function inverse(edit: Edit): Edit {
  const cannot = typeError(
    "CANNOT_MERGE",
    `Cannot unmerge the edit at "${edit.path}" by subtraction: keep the model that was merged and use it instead`,
  );
  if (edit.kind !== "linear") throw cannot;
  const { change } = edit;
  switch (change.form) {
    case "add":
      return { ...edit, change: { form: "add", map: scaledMap(change.map, -1) } };
    case "bias":
      return { ...edit, change: { ...change, factor: -(change.factor ?? 1) } };
    case "scale": {
      const { before, after } = scalesOf(change);
      return {
        ...edit,
        change: {
          form: "scale",
          ...before && { in: divide(1, before) },
          ...after && { out: divide(1, after) },
        },
      };
    }
    case "input":
      if (change.inverse === undefined) throw cannot;
      return { ...edit, change: { form: "input", map: change.inverse, inverse: change.map } };
    case "output":
      if (change.inverse === undefined) throw cannot;
      return { ...edit, change: { form: "output", map: change.inverse, inverse: change.map } };
    case "delta":
      throw cannot;
    default:
      return change satisfies never;
  }
}
