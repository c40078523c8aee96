/** What laws are about: a method on a tiny random model, with fresh and with trained-looking parameters, and a batch. */
import fc from "fast-check";
import {
  type Adapter,
  type Backend,
  type Batch,
  fold,
  FROZEN,
  keep,
  type Key,
  key as keyOf,
  mapTree,
  type Method,
  type Model,
  type Root,
  scope,
  type Synchronous,
  type Tree,
} from "../../core/mod.ts";
import { add, normal } from "../../ops/mod.ts";
import { tinyGemma, tinyGpt2, tinyLlama, tinyQwen3 } from "./tiny_models.ts";

/** A tiny model from a key. */
export type TinyModel = (backend: Backend, key: Key) => Model;

/** A method made for a model; `dispose` frees what making it allocated (experts). */
export interface Made {
  readonly method: Method;
  dispose?(): void;
}

/** Where and on what to run a law. */
export interface Case {
  readonly seed: number;
  readonly model: TinyModel;
  readonly batch: Batch;
}

/** A case brought to life on a backend. */
export interface Subject {
  readonly backend: Backend;
  readonly model: Model;
  readonly method: Method;
  /** As `init` made it. */
  readonly fresh: Adapter;
  /** With noise on every trained parameter, as training would leave it. */
  readonly adapter: Adapter;
  readonly batch: Batch;
  readonly key: Key;
}

/** These families by default. */
export const TINY_MODELS: readonly TinyModel[] = [
  (backend, key) => tinyLlama(backend, key),
  (backend, key) => tinyGpt2(backend, key),
  (backend, key) => tinyQwen3(backend, key),
  (backend, key) => tinyGemma(backend, key),
];

/** Random cases: one to three rows of two to six tokens, padded on the right; at least one label. */
export function cases(models: readonly TinyModel[]): fc.Arbitrary<Case> {
  const batch = fc.tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 2, max: 6 })).chain(([b, t]) =>
    fc.record({
      rows: fc.array(fc.array(fc.integer({ min: 0, max: 10 }), { minLength: t, maxLength: t }), {
        minLength: b,
        maxLength: b,
      }),
      lengths: fc.array(fc.integer({ min: 2, max: t }), { minLength: b, maxLength: b }),
    })
  ).map(({ rows, lengths }): Batch => ({
    inputIds: rows,
    attentionMask: rows.map((row, i) => row.map((_, j) => j < lengths[i]! ? 1 : 0)),
    labels: rows.map((row, i) => row.map((id, j) => j < lengths[i]! ? id : -100)),
  }));
  return fc.record({ seed: fc.nat({ max: 1e6 }), model: fc.constantFrom(...models), batch });
}

/** Builds a case, runs `law` on it and frees everything it made. */
export async function withSubject(
  { seed, model: modelOf, batch }: Case,
  backend: Backend,
  make: (model: Model) => Made,
  law: (subject: Subject) => unknown,
): Promise<void> {
  const key = keyOf(seed);
  const model = modelOf(backend, fold(key, "model"));
  let made: Made | undefined;
  let fresh: Root<Tree> | undefined;
  let noisy: Root<Tree> | undefined;
  try {
    made = make(model);
    const { method } = made;
    fresh = keep(method.init({ model, key: fold(key, "init") }));
    noisy = keep(noised(fresh.tree, fold(key, "noise")));
    await law({
      backend,
      model,
      method,
      fresh: { method, params: fresh.tree },
      adapter: { method, params: noisy.tree },
      batch,
      key: fold(key, "pass"),
    });
  } finally {
    noisy?.dispose();
    fresh?.dispose();
    made?.dispose?.();
    model.dispose();
  }
}

/** Parameters with noise on every trained leaf. */
export function noised(params: Tree, key: Key): Tree {
  return scope((): Synchronous<Tree> =>
    mapTree(
      params,
      (t, path) =>
        path.split(".").includes(FROZEN) ? t : add(t, normal(fold(key, path), t.shape, t.backend, 0.1)),
    )
  );
}

/** Adapters with noise on their parameters, which `dispose` frees. */
export function trained(
  model: Model,
  methods: Readonly<Record<string, Method>>,
): { readonly adapters: Readonly<Record<string, Adapter>>; dispose(): void } {
  const roots = Object.entries(methods).map(([name, method], i) =>
    [
      name,
      method,
      keep(scope((): Synchronous<Tree> => noised(method.init({ model, key: i }), keyOf(i + 10)))),
    ] as const
  );
  return {
    adapters: Object.fromEntries(
      roots.map(([name, method, root]): readonly [string, Adapter] => [name, { method, params: root.tree }]),
    ),
    dispose: () => roots.forEach(([, , root]) => root.dispose()),
  };
}
