/**
 * Differences of whole leaves, θ = θ0 + δ with δ starting at zero: full fine-tuning that keeps its starting
 * point.
 */
import {
  decoded,
  dequantizedShape,
  type Edit,
  fn,
  type Json,
  lookup,
  type Method,
  paramsAt,
  replaceLeaf,
  tableUpdate,
  Tensor,
  trainableCopy,
} from "../../core/mod.ts";
import { add, zeros } from "../../ops/mod.ts";
import { freshParams } from "../shared/initial_factors.ts";
import { rangeError } from "../../errors/error.ts";

/** The leaves to train. */
export interface DenseDeltas {
  /** Paths of the leaves that have a δ. */
  readonly paths: readonly string[];
  /** Leaves that are trained directly. */
  readonly whole: readonly string[];
  /** Those of the paths that are embedding tables whose tied head is unchanged. */
  readonly lookups?: readonly string[];
}

/** A method with the given name. Parameters: `<leaf>.delta`, and whole leaves under their own path. */
export function denseDeltas(
  name: string,
  { paths, whole, lookups = [] }: DenseDeltas,
  config: Readonly<Record<string, Json>> = {},
): Method {
  return {
    name,
    config: { ...config, paths, whole },
    init: ({ model }) =>
      freshParams(() => [
        ...paths.map((path) => {
          const leaf = lookup(model.weights, path);
          if (!(leaf instanceof Tensor)) {
            throw rangeError("METHOD_DOES_NOT_FIT", `Cannot place ${name}: there is no weight "${path}"`);
          }
          return [`${path}.delta`, zeros(dequantizedShape(model, path), model.backend)] as const;
        }),
        ...whole.map((path) => [path, trainableCopy(model, path)] as const),
      ]),
    edits: (params) => [
      ...paths.map((path): Edit => {
        const delta = paramsAt(params, `${path}.delta`) as Tensor;
        return lookups.includes(path) ? lookedUp(path, delta) : {
          kind: "weight",
          path,
          map: fn({ delta }, ({ delta }, { weight }) => add(decoded(weight), delta)),
        };
      }),
      ...whole.map((path) => replaceLeaf(path, paramsAt(params, path) as Tensor)),
    ],
  };
}

/** δ that affects only lookups in a table. */
function lookedUp(path: string, delta: Tensor): Edit {
  const [rows, width] = delta.shape as readonly [number, number];
  return {
    kind: "linear",
    path: path.replace(/\.weight$/, ""),
    change: { form: "add", map: tableUpdate(rows, width, [delta], () => delta) },
  };
}
