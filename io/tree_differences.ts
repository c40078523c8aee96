/** How two trees differ in paths and shapes, in words. */
import { leaves, sameShape, showShape, type Tree } from "../core/mod.ts";

/** The differences between the leaves of the expected and the found tree. */
export function differences(expected: Tree, found: Tree): readonly string[] {
  const shapes = new Map(leaves(expected).map(([path, t]) => [path, t.shape]));
  const here = new Map(leaves(found).map(([path, t]) => [path, t.shape]));
  const all = [
    ...[...shapes.keys()].filter((path) => !here.has(path)).map((path) => `"${path}" is missing`),
    ...[...here].flatMap(([path, shape]) => {
      const wanted = shapes.get(path);
      if (wanted === undefined) return [`"${path}" is not expected`];
      return sameShape(shape, wanted)
        ? []
        : [`"${path}": expected ${showShape(wanted)} but found ${showShape(shape)}`];
    }),
  ];
  return all.length <= 6 ? all : [...all.slice(0, 6), `and ${all.length - 6} more`];
}
