/**
 * TinyLoRA: the laws of methods and what is refused; PEFT's numbers (tests/oracles/peft_shared_vectors.py), and the directions and
 * projections that it makes by itself.
 */
import {
  type Backend,
  chooseTargets,
  dispose,
  fold,
  keep,
  key,
  leaves,
  lookup,
  type Model,
  nest,
  read,
  scope,
  sizesOf,
  type Synchronous,
  type TargetOptions,
  type Tensor,
  type Tree,
} from "../../../core/mod.ts";
import {
  type LeadingDirections,
  leadingDirections,
  tinyLora,
  type TinyLoraOptions,
} from "../../../methods/mod.ts";
import { normal, ones } from "../../../ops/mod.ts";
import { assertClose, assertNoLeak } from "../../support/assert.ts";
import { ALL_BACKENDS, withBackend } from "../../support/backends.ts";
import { misfits } from "../../support/bad_options.ts";
import { assertGolden, goldenBase, goldenParams } from "../../support/golden_method.ts";
import { assertMerged, assertShapes, assertSteps } from "../../support/golden_training.ts";
import { ALL } from "../../support/linear_laws.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { onCodes } from "../../support/on_codes.ts";
import type { Made } from "../../support/subject.ts";

const OPTIONS: TinyLoraOptions = {
  rank: 3,
  dimension: 7,
  tying: 0.6,
  singularValues: "split",
  targets: ["q_proj", "v_proj", "down_proj"],
};

/** The case's parameters, which PEFT made, and a method with directions of its own. */
async function withCase(
  backend: Backend,
  options: TinyLoraOptions,
  run: (model: Model, params: Tree, method: ReturnType<typeof tinyLora>) => Promise<void>,
): Promise<void> {
  const model = await goldenBase(backend);
  const params = goldenParams("tiny_lora", backend);
  const directions = await leadingDirections(model, options);
  await run(model, params.tree, tinyLora({ ...options, directions }));
  dispose([directions]);
  params.dispose();
  model.dispose();
}

for (const backendName of ALL_BACKENDS) {
  Deno.test(`tinyLora() equals its golden case (${backendName})`, () =>
    withBackend(
      backendName,
      (backend) =>
        assertNoLeak(() =>
          withCase(backend, { ...OPTIONS, projectionSeed: 99 }, async (model, params, method) => {
            const adapter = { method, params }; // the file's P, not those of the seed
            assertShapes(model, adapter);
            await assertGolden("tiny_lora", model, adapter);
            await assertMerged("tiny_lora", model, adapter);
            await assertSteps("tiny_lora", model, adapter);
          })
        ),
    ));

  Deno.test(`tinyLora() finds PEFT's factors, signs aside, and draws its P (${backendName})`, () =>
    withBackend(
      backendName,
      (backend) =>
        assertNoLeak(() =>
          withCase(backend, OPTIONS, async (model, params, method) => {
            const own = method.init({ model, key: 0 });
            for (const [path, t] of leaves(params).filter(([path]) => path.includes(".frozen."))) {
              const [wanted, found] = [await read(t), await read(lookup(own, path) as Tensor)];
              const plain = (x: Float32Array): Float32Array => path.endsWith(".p") ? x : x.map(Math.abs);
              // 1e-4: torch decomposes in f32, which turns directions whose singular values lie close.
              assertClose(plain(found), plain(wanted), path.endsWith(".p") ? 1e-6 : 1e-4, path);
            }
            dispose(own);
          })
        ),
    ));

  Deno.test(`tinyLora() regenerated equals its golden case (${backendName})`, () =>
    withBackend(
      backendName,
      (backend) =>
        assertNoLeak(() =>
          withCase(backend, { ...OPTIONS, projections: "regenerated" }, async (model, params, method) => {
            const kept = leaves(params).filter(([path]) => !path.endsWith(".p"));
            const adapter = { method, params: nest(kept) as Tree };
            assertShapes(model, adapter);
            await assertGolden("tiny_lora", model, adapter);
          })
        ),
    ));
}

/** u for each v; stored are r (in + out) + u r² per layer beside them. */
const tinyCount =
  (u: number, vectors: (layers: number) => number, options: TargetOptions) => (model: Model) => {
    const places = chooseTargets(model.spec, options).map(sizesOf);
    const trainable = u * vectors(places.length);
    const layer = (s: { readonly inFeatures: number; readonly outFeatures: number }): number =>
      2 * (s.inFeatures + s.outFeatures) + u * 4;
    return { trainable, stored: trainable + places.reduce((n, s) => n + layer(s), 0) };
  };
/** With directions, which a GPU cannot find by itself: these are any. */
const along = (options: TinyLoraOptions) => (model: Model): Made => {
  const root = keep(
    scope((): Synchronous<LeadingDirections> =>
      Object.fromEntries(
        chooseTargets(model.spec, options).map((place, i) => {
          const { inFeatures, outFeatures } = sizesOf(place);
          const draw = (name: string, ...shape: readonly number[]) =>
            normal(fold(fold(key(1), i), name), shape, model.backend);
          return [place.path, {
            u: draw("u", outFeatures, 2),
            s: ones([2], model.backend),
            vt: draw("v", 2, inFeatures),
          }];
        }),
      ) as unknown as Synchronous<LeadingDirections>
    ),
  );
  return { method: tinyLora({ ...options, directions: root.tree }), dispose: () => root.dispose() };
};
methodLaws("tinyLora()", {
  method: along({ ...ALL, dimension: 5, dropout: 0.2 }),
  atInit: "base",
  merges: "and unmerges",
  counts: tinyCount(5, (n) => n, ALL),
  runs: 2,
});
methodLaws("tinyLora() of one vector", {
  method: along({ dimension: 3, tying: 1, initialization: "uniform", singularValues: "split" }),
  atInit: "other",
  merges: "and unmerges",
  counts: tinyCount(3, () => 1, {}),
  runs: 2,
});

misfits("tinyLora()", [
  [
    () => tinyLora({ dimension: 0 }),
    /^Expected tiny-lora.s option "dimension" to be a positive integer.* but found 0$/,
  ],
  [() => tinyLora({ tying: 1.5 }), /option "tying" to be a number from 0 to 1 but found 1.5$/],
  [() => tinyLora({ targets: ["embed_tokens"] }), /tiny-lora on the embedding "model.embed_tokens"/],
]);
onCodes({ "tinyLora()": tinyLora({ dimension: 3 }) });
