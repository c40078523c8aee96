/** Numbers of parameters that papers report, from the architectures' shapes alone. */
import assert from "node:assert/strict";
import { leaves, type LinearPlace, type Method, type Model, type Spec, trainable } from "../../core/mod.ts";
import {
  boft,
  factorPair,
  fourierft,
  hra,
  intrinsicSaid,
  krona,
  loha,
  lokr,
  miss,
  oft,
  vera,
} from "../../methods/mod.ts";
import { shapesOnly } from "../../ops/mod.ts";
import { GOLDEN } from "../support/golden.ts";

/** Attentions of a width, each with its query and value layer. */
function attentions(names: readonly string[], width: number): Spec {
  const linears = names.flatMap((name) =>
    (["query", "value"] as const).map((role): LinearPlace => ({
      kind: "linear",
      path: `${name}.${role}`,
      stack: "encoder",
      role,
      inFeatures: width,
      outFeatures: width,
      transposed: false,
      bias: false,
    }))
  );
  return {
    architecture: "shapes",
    linears,
    attentions: [],
    sublayers: [],
    blocks: [],
    norms: [],
    embeddings: [],
    heads: [],
    stacks: [],
  };
}

const layers = (n: number, name: string): readonly string[] =>
  Array.from({ length: n }, (_, i) => `${name}.${i}`);

/** 12 encoder layers, 12 decoder layers with two attentions each. */
const T5_BASE = attentions([...layers(12, "encoder"), ...layers(12, "decoder"), ...layers(12, "cross")], 768);
const ROBERTA_BASE = attentions(layers(12, "layer"), 768);
const ROBERTA_LARGE = attentions(layers(24, "layer"), 1024);
const ONE = { ...ROBERTA_BASE, linears: ROBERTA_BASE.linears.slice(0, 1) };

function trained(spec: Spec, method: Method): number {
  const params = method.init({ model: { spec, backend: shapesOnly() } as Model, key: 0 });
  const n = leaves(trainable(params)).reduce((n, [, t]) => n + t.size, 0);
  for (const [, t] of leaves(params)) t.storage.free();
  return n;
}

const T5_BASE_SIZE = 222_903_552;
const T5_BASE_NORMS = 62 * 768;

Deno.test("vera() has 43,008 parameters on RoBERTa-base and 61,440 on RoBERTa-large", () => {
  assert.equal(trained(ROBERTA_BASE, vera({ rank: 1024 })), 43_008);
  assert.equal(trained(ROBERTA_LARGE, vera({ rank: 256 })), 61_440);
});

Deno.test("krona() with T5-base's norms has 158,208 parameters, 0.071 %", () => {
  const n = trained(T5_BASE, krona()) + T5_BASE_NORMS;
  assert.equal(n, 158_208);
  assert.equal((100 * n / T5_BASE_SIZE).toFixed(3), "0.071");
});

Deno.test("lokr() has 1,088 parameters on 768 x 768 at rank 8", () => {
  assert.equal(trained(ONE, lokr({ rank: 8 })), 1_088);
});

Deno.test("lokr() splits a factor below half of its larger side only", () => {
  assert.equal(trained(ONE, lokr({ rank: 15 })), 24 * 24 + 15 * (32 + 32));
  assert.equal(trained(ONE, lokr({ rank: 16 })), 24 * 24 + 32 * 32);
});

Deno.test("factorPair() gives PEFT's and LyCORIS's pairs", () => {
  const pairs: readonly (readonly number[])[] = JSON.parse(
    Deno.readTextFileSync(`${GOLDEN}reparam/factor_pairs.json`),
  );
  for (const [n, factor, ...expected] of pairs) {
    const found = [...factorPair(n!, factor!), ...factorPair(n!, factor!, "smallerFirst")];
    assert.deepEqual(found, expected, `${n} by ${factor}`);
  }
});

Deno.test("loha() has twice LoRA's parameters", () => {
  assert.equal(trained(ROBERTA_BASE, loha({ rank: 8 })), 2 * 24 * 8 * (768 + 768));
});

Deno.test("intrinsicSaid() has d parameters, 0.009 % of T5-base at 20,000", () => {
  const n = trained(T5_BASE, intrinsicSaid({ dimension: 20_000 }));
  assert.equal(n, 20_000);
  assert.equal((100 * n / T5_BASE_SIZE).toFixed(3), "0.009");
});

Deno.test("rotations, shards and spectra have the numbers of their formulas", () => {
  assert.equal(trained(ONE, oft()), 768 / 32 * (32 * 31 / 2));
  assert.equal(trained(ONE, oft({ sharing: "shared" })), 32 * 31 / 2);
  assert.equal(trained(ONE, boft({ blocks: { size: 8 }, factors: 3 })), 3 * 768 * 8 + 768);
  assert.equal(trained(ONE, hra({ rank: 8 })), 768 * 8);
  assert.equal(trained(ONE, miss({ rank: 64 })), 64 * 768);
  // FourierFT's paper: 1000 numbers for each of 24 matrices of RoBERTa-base are its 0.024 M.
  assert.equal(trained(ROBERTA_BASE, fourierft()), 24_000);
});
