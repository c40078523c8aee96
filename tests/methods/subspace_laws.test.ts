/** BEFT, DEFT, PEANuT, Lily and PSOFT obey the laws of methods. */
import {
  chooseTargets,
  type Counts,
  fold,
  keep,
  key,
  type Model,
  scope,
  sizesOf,
  type Synchronous,
  type TargetOptions,
} from "../../core/mod.ts";
import { beft, deft, lily, peanut, psoft, type PsoftOptions } from "../../methods/mod.ts";
import { normal, orthogonalRows } from "../../ops/mod.ts";
import { ALL, each } from "../support/linear_laws.ts";
import { methodLaws } from "../support/method_laws.ts";

/** Every value, or the values' third. */
const values = ({ spec }: Model): Partial<Counts> => ({
  trainable: spec.linears.reduce(
    (n, { role, outFeatures }) => n + (role === "value" ? outFeatures : role === "qkv" ? outFeatures / 3 : 0),
    0,
  ),
});

methodLaws("beft()", {
  method: () => ({ method: beft() }),
  atInit: "base",
  merges: "and unmerges",
  counts: values,
});

methodLaws("deft()", {
  method: () => ({ method: deft({ ...ALL, rank: 3, alpha: 5, dropout: 0.2 }) }),
  atInit: "base",
  merges: "only",
  counts: each(ALL, (i, o) => 3 * (i + o)),
  unlikeDifferences: (path) => path.endsWith(".p"), // behind a corner
  runs: 2,
});

methodLaws("deft() of orthonormal columns, its rank over the outputs", {
  method: () => ({ method: deft({ rank: 14, projection: "qr" }) }),
  atInit: "base",
  merges: "only",
  counts: each({}, (i, o) => Math.min(14, o) * (i + o)),
  runs: 2,
});

methodLaws("deft() as PaRa", {
  method: () => ({ method: deft({ rank: 2, projection: "qr", form: "para" }) }),
  atInit: "other",
  merges: "only",
  counts: each({}, (_, o) => 2 * o),
  runs: 2,
});

methodLaws("peanut()", {
  method: () => ({ method: peanut({ rank: 3, scale: 0.5 }) }),
  atInit: "base",
  merges: "only",
  counts: each({}, (_, o) => 2 * 3 * o),
  unlikeDifferences: (path) => path.endsWith(".a"), // behind a corner
  runs: 2,
});

methodLaws("peanut() with two layers a side", {
  method: () => ({ method: peanut({ ...ALL, rank: 3, depth: 2, activation: "silu" }) }),
  atInit: "base",
  merges: "only",
  counts: each(ALL, (_, o) => 2 * 3 * o + 2 * 2 * 3 * 3),
  runs: 2,
});

/** Of kinds with as many layers as there are blocks: ⌈n / stride⌉ A of r in, E experts of r out, n routers of E r. */
const shared = (options: TargetOptions, r: number, stride: number, experts: number) => ({ spec }: Model) => {
  const kinds = Map.groupBy(
    chooseTargets(spec, options),
    ({ path, ...place }) => path.split(/\.\d+\./)[1]! + sizesOf({ path, ...place }).outFeatures,
  );
  const trainable = [...kinds.values()].reduce((sum, kind) => {
    const { inFeatures, outFeatures } = sizesOf(kind[0]!);
    return sum + Math.ceil(kind.length / stride) * r * inFeatures + experts * r * outFeatures +
      kind.length * experts * r;
  }, 0);
  return { trainable };
};

methodLaws("lily()", {
  method: () => ({ method: lily({ rank: 3 }) }),
  atInit: "base",
  merges: "no",
  looksAhead: true,
  counts: shared({}, 3, 1, 2),
  runs: 2,
});

methodLaws("lily() with shared A", {
  method: () => ({ method: lily({ ...ALL, rank: 2, stride: 2, experts: 3, scale: 0.5 }) }),
  atInit: "base",
  merges: "no",
  looksAhead: true,
  counts: shared(ALL, 2, 2, 3),
  runs: 2,
});

/** PSOFT within random subspaces: laws know of no principal ones, which a GPU finds on the host alone. */
const within =
  (targets: TargetOptions, rank: number, options: Omit<PsoftOptions, "subspace">) => (model: Model) => {
    const root = keep(scope(() =>
      Object.fromEntries(
        chooseTargets(model.spec, targets).map((place) => {
          const shape = [rank, sizesOf(place).inFeatures] as const;
          return [place.path, orthogonalRows(normal(fold(key(1), place.path), shape, model.backend))];
        }),
      ) as Synchronous<PsoftOptions["subspace"]>
    ));
    return { method: psoft({ ...options, subspace: root.tree }), dispose: () => root.dispose() };
  };

methodLaws("psoft()", {
  method: within({}, 4, { dropout: 0.2 }),
  atInit: "base",
  merges: "and unmerges",
  counts: (model) => ({
    ...each({}, () => 6 + 2 * 4)(model),
    stored: each({}, (i) => 6 + 2 * 4 + 4 * i)(model).trainable!,
  }),
  runs: 2,
});

methodLaws("psoft() by a series, with β alone", {
  method: within(ALL, 3, { rotation: { terms: 5 }, vectors: "after" }),
  atInit: "base",
  merges: "only",
  counts: each(ALL, () => 3 + 3),
  runs: 2,
});

methodLaws("psoft() with a free matrix", {
  method: within({}, 3, { rotation: "free", vectors: "none" }),
  atInit: "base",
  merges: "only",
  counts: each({}, () => 9),
  runs: 2,
});
