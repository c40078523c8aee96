/** The reparametrised methods obey the laws of methods, each in its forms. */
import assert from "node:assert/strict";
import { chooseTargets, type Counts, fold, keep, key, type Model } from "../../core/mod.ts";
import { scope, sizesOf, type Synchronous } from "../../core/mod.ts";
import { type Method, type TargetOptions, weightLeaves } from "../../core/mod.ts";
import {
  boft,
  c3a,
  factorPair,
  fourierft,
  hra,
  intrinsicSaid,
  krona,
  type LeadingDirections,
  loha,
  lokr,
  miss,
  oft,
  pvera,
  randlora,
  tinyLora,
  type TinyLoraOptions,
  uniLora,
  vbLora,
  vera,
} from "../../methods/mod.ts";

import { normal, ones } from "../../ops/mod.ts";
import { ALL, each, ENDS, laws } from "../support/linear_laws.ts";
import { methodLaws } from "../support/method_laws.ts";
import type { Made } from "../support/subject.ts";
import { withBackend } from "../support/backends.ts";
import { tinyLlama } from "../support/tiny_models.ts";

laws("loha()", loha({ rank: 3, alpha: 5 }), each({}, (i, o) => 2 * 3 * (i + o)));
laws(
  "loha() of rank 1 as LyCORIS starts it",
  loha({ ...ALL, rank: 1, initialization: "lycoris" }),
  each(ALL, (i, o) => 2 * (i + o)),
);
laws("loha() on the embedding and the head", loha({ ...ENDS, rank: 2 }), each(ENDS, (i, o) => 4 * (i + o)));
laws(
  "loha() with dropout of rows and layers",
  loha({ ...ALL, rank: 2, rowDropout: 0.3, moduleDropout: 0.3 }),
  each(ALL, (i, o) => 4 * (i + o)),
  { merges: "only" },
);

/** o1 i1 and either o2 i2 or r (o2 + i2). */
const lokrCount = (r: number) => (i: number, o: number): number => {
  const [[o1, o2], [i1, i2]] = [factorPair(o, -1), factorPair(i, -1)];
  return o1 * i1 + (r < Math.max(o2, i2) / 2 ? r * (o2 + i2) : o2 * i2);
};
laws("lokr()", lokr({ ...ALL, rank: 2 }), each(ALL, lokrCount(2)));
laws(
  "lokr() whole, as LyCORIS",
  lokr({ rank: 1, alpha: 4, split: "none", scaling: "unitWhenFull", initialization: "lycoris" }),
  each({}, lokrCount(99)),
);
laws("lokr() on the embedding and the head", lokr({ ...ENDS, rank: 1 }), each(ENDS, lokrCount(1)));
laws(
  "lokr() with dropout of rows",
  lokr({ rank: 1, split: "both", factor: 2, rowDropout: 0.5 }),
  () => ({}),
  { merges: "only" },
);

laws("krona()", krona({ scale: 2 }), () => ({}));
laws(
  "krona() with chosen factors, A zero, dropout",
  krona({ firstFactor: [2, 6], zero: "a", initialization: "normal", dropout: 0.3 }),
  each({}, (i, o) => 12 + i * o / 12),
);

laws("vera()", vera({ ...ALL, rank: 3, dropout: 0.2 }), (model) => {
  const { trainable } = each(ALL, (_, o) => 3 + o)(model) as { trainable: number };
  const sizes = chooseTargets(model.spec, ALL).map(sizesOf);
  const shared = 3 *
    (Math.max(...sizes.map((s) => s.inFeatures)) + Math.max(...sizes.map((s) => s.outFeatures)));
  return { trainable, stored: trainable + shared };
});
laws("vera() regenerated", vera({ rank: 2, projections: "regenerated" }), (model) => {
  const { trainable } = each({}, (_, o) => 2 + o)(model) as { trainable: number };
  return { trainable, stored: trainable };
});

/** n (r + min) in a layer; shared are r min + max n r of the largest sizes. */
const randLoraCount = (r: number, options: TargetOptions) => (model: Model): Partial<Counts> => {
  const terms = (min: number): number => Math.ceil(min / r);
  const { trainable } = each(options, (i, o) => terms(Math.min(i, o)) * (r + Math.min(i, o)))(model);
  const sizes = chooseTargets(model.spec, options).map(sizesOf);
  const largest = [Math.max(...sizes.map((s) => s.inFeatures)), Math.max(...sizes.map((s) => s.outFeatures))];
  const [min, max] = [Math.min(...largest), Math.max(...largest)];
  return { trainable: trainable!, stored: trainable! + r * min + max * terms(min) * r };
};
laws("randlora()", randlora({ ...ALL, rank: 5, alpha: 3, dropout: 0.2 }), randLoraCount(5, ALL));
laws(
  "randlora() of sparse bases, regenerated",
  randlora({ rank: 3, bases: "sparse", projections: "regenerated", projectionSeed: 2 }),
  () => ({}),
);
laws(
  "randlora() of very sparse bases, a start that is none",
  randlora({ rank: 4, bases: "verySparse", initialization: "normal" }),
  randLoraCount(4, {}),
  { atInit: "other" },
);

/** h c for the bank, r h for each piece of c. */
const bankCount = (r: number, h: number, c: number, options: TargetOptions) => (model: Model) => {
  const { trainable } = each(options, (i, o) => r * h * (i + o) / c)(model);
  return { trainable: trainable! + h * c };
};
laws(
  "vbLora()",
  vbLora({ ...ALL, rank: 2, vectors: 5, length: 2, dropout: 0.2 }),
  bankCount(2, 5, 2, ALL),
  // A step of a logit may change which are the largest.
  { atInit: "other", unlikeDifferences: (path) => path.includes(".logits") },
);
laws(
  "vbLora() of all vectors",
  vbLora({ rank: 3, vectors: 3, length: 4, topK: 3, bankBound: 0.5 }),
  bankCount(3, 3, 4, {}),
  { atInit: "other" },
);

laws(
  "uniLora()",
  uniLora({ ...ALL, rank: 2, dimension: 11, bound: 0.5, dropout: 0.2 }),
  () => ({ trainable: 11, stored: 11 }),
  { atInit: "other" },
);
laws(
  "uniLora() of equal numbers",
  uniLora({ rank: 1, dimension: 29, assignment: "balanced", initialization: "normal", projectionSeed: 0 }),
  () => ({ trainable: 29, stored: 29 }),
  { atInit: "other" },
);

laws(
  "pvera()",
  pvera({ ...ALL, rank: 3, dropout: 0.2 }),
  (model) => {
    const { trainable } = each(ALL, (_, o) => 2 * 3 + o)(model) as { trainable: number };
    const sizes = chooseTargets(model.spec, ALL).map(sizesOf);
    const shared = 3 *
      (2 * Math.max(...sizes.map((s) => s.inFeatures)) + Math.max(...sizes.map((s) => s.outFeatures)));
    return { trainable, stored: trainable + shared };
  },
  { merges: "only" },
);
laws(
  "pvera() regenerated",
  pvera({ rank: 2, projections: "regenerated", initialD: 0.5 }),
  (model) => {
    const { trainable } = each({}, (_, o) => 2 * 2 + o)(model) as { trainable: number };
    return { trainable, stored: trainable };
  },
  { merges: "only" },
);

/** u for each v; stored are r (in + out) + u r² a layer beside them. */
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

laws("hra()", hra({ ...ALL, rank: 4 }), each(ALL, (i) => 4 * i));
laws(
  "hra() pulled towards orthogonality, odd rank",
  hra({ rank: 3, orthogonality: 0.1 }),
  each({}, (i) => 3 * i),
  { atInit: "other" },
);
laws(
  "hra() exact",
  hra({ rank: 2, orthogonality: "exact", initialization: "none" }),
  each({}, (i) => 2 * i),
  { atInit: "other" },
);

laws("miss()", miss({ ...ALL, rank: 5, dropout: 0.2 }), each(ALL, (_, o) => 5 * o));
laws("miss() mini", miss({ rank: 4, form: "mini", miniRank: 2 }), each({}, () => 8));
laws("miss() bat", miss({ rank: 4, form: "bat" }), each({}, (_, o) => o * 4), { merges: "only" });

laws("oft()", oft({ blocks: { size: 2 }, ...ALL }), each(ALL, (i) => i / 2), { merges: "only" });
laws(
  "oft() exact",
  oft({ blocks: { count: 3 }, cayley: "exact" }),
  each({}, (i) => 3 * (i / 3) * (i / 3 - 1) / 2),
);
laws(
  "oft() shared and constrained",
  oft({ blocks: { size: 4 }, sharing: "shared", constraint: 0.1 }),
  each({}, () => 6),
  { merges: "only" },
);

laws("boft()", boft({ blocks: { size: 2 }, ...ALL }), each(ALL, (i, o) => i * 2 + o), { merges: "only" });
laws("boft() of two factors", boft({ blocks: { size: 2 }, factors: 2 }), each({}, (i, o) => 2 * i * 2 + o), {
  merges: "only",
});

laws("fourierft()", fourierft({ frequencies: 20, scale: 10 }), each({}, () => 20), { atInit: "other" });
laws(
  "fourierft() from zeros",
  fourierft({ ...ALL, frequencies: 3, scale: 10, initialization: "zeros" }),
  each(ALL, () => 3),
);

laws("c3a()", c3a({ block: 2 }), each({}, (i, o) => i * o / 2), { atInit: "other" });
laws(
  "c3a() from zeros, blocks by pattern",
  c3a({ ...ALL, block: 1, blockPattern: { "q_proj|c_attn": 4 }, initialization: "zeros" }),
  () => ({}),
);

const said = (model: Model): Partial<Counts> => {
  const n = weightLeaves(model.weights).reduce((n, [, t]) => n + t.size, 0);
  return { trainable: 90, stored: 90, changed: n };
};
laws("intrinsicSaid() of the whole model", intrinsicSaid({ dimension: 90 }), said, { merges: "only" });
laws(
  "intrinsicSaid() with a scale for each layer",
  intrinsicSaid({ dimension: 90, scales: "layer" }),
  said,
  { merges: "only" },
);
laws(
  "intrinsicSaid() of a few weights in blocks, without scales",
  intrinsicSaid({
    dimension: 5,
    parameters: /.*(q_proj|c_attn)\.weight/,
    scales: "none",
    blocks: "vector",
    seed: 3,
  }),
  () => ({ trainable: 5 }),
  { merges: "only" },
);

Deno.test("options that a layer cannot have are refused by name", () =>
  withBackend("reference", (backend) => {
    const llama = tinyLlama(backend, 1);
    const refused = (method: () => Method, message: RegExp): void => {
      assert.throws(
        () => method().init({ model: llama, key: 0 }),
        (e) => e instanceof RangeError && message.test(e.message),
      );
    };
    refused(() => loha({ rank: 0 }), /rank to be a positive integer but found 0/);
    refused(() => loha({ rowDropout: 1 }), /rowDropout from 0 up to 1 but found 1/);
    refused(() => lokr({ factor: 0 }), /factor to be a positive integer but found 0/);
    refused(() => lokr({ targets: ["nothing"] }), /"nothing" matches no layer/);
    refused(() => krona({ firstFactor: [5, 3] }), /q_proj" \[16, 12\] by a first factor \[5, 3\]/);
    refused(() => vera({ rank: 1.5 }), /rank to be a positive integer but found 1.5/);
    refused(() => hra({ orthogonality: -1 }), /orthogonality to be 0 or more/);
    refused(() => hra({ targets: ["embed_tokens"] }), /hra on the embedding "model.embed_tokens"/);
    refused(() => miss({ rank: 13 }), /MiSS of rank 13 on .*\[16, 12\]: the rank exceeds/);
    refused(() => miss({ rank: 5, form: "bat" }), /multiples of the rank/);
    refused(() => miss({ rank: 2, form: "mini", miniRank: 3 }), /miniRank 3 does not divide/);
    refused(() => oft(), /input of 12 is no multiple of the block size 32/);
    refused(() => oft({ constraint: 0 }), /constraint to be greater than 0/);
    refused(() => oft({ blocks: { count: 0 } }), /blocks.count to be a positive integer/);
    refused(() => boft({ blocks: { size: 4 }, factors: 3 }), /3 butterfly factors on .* its 3 blocks of 4/);
    refused(() => fourierft(), /1000 frequencies of .* it has 192 elements/);
    refused(() => intrinsicSaid({ dimension: 10 }), /above the \d+ scales/);
    refused(
      () => intrinsicSaid({ dimension: 9, parameters: ["none"] }),
      /matches? the parameters|match the parameters/,
    );
    llama.dispose();
    return Promise.resolve();
  }));
