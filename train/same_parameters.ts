/** Whether the parameters of a checkpoint are those of the adapter that goes on with it. */
import { leaves, type Tree } from "../core/mod.ts";
import { rangeError } from "../errors/error.ts";

/** @throws {RangeError} naming the first parameter that one of them lacks, or has of another shape. */
export function checkSame(expected: Tree, found: Tree): void {
  const shapes = new Map(leaves(found).map(([path, t]) => [path, t.shape.join(", ")]));
  const known = new Set(leaves(expected).map(([path]) => path));
  const other = [...shapes.keys()].find((path) => !known.has(path));
  if (other !== undefined) {
    throw rangeError(
      "CANNOT_RESUME",
      `Cannot resume: the checkpoint has ${other}, which the adapter has not`,
    );
  }
  for (const [path, t] of leaves(expected)) {
    if (shapes.get(path) !== t.shape.join(", ")) {
      throw rangeError(
        "CANNOT_RESUME",
        `Cannot resume: ${path} is [${t.shape.join(", ")}] but the checkpoint has [${
          shapes.get(path) ?? "nothing"
        }]`,
      );
    }
  }
}
