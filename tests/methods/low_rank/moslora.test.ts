/**
 * moslora(): the laws of methods, the golden case of the paper's equation (tests/oracles/moslora.py), how the mixer starts and what
 * is refused.
 */
import assert from "node:assert/strict";
import { adapt, leaves, type Method, read } from "../../../core/mod.ts";
import { moslora } from "../../../methods/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertClose, assertNoLeak } from "../../support/assert.ts";
import { misfits } from "../../support/bad_options.ts";
import { goldenMethods } from "../../support/golden_case.ts";
import { TARGETS } from "../../support/golden_method.ts";
import { ALL, each, laws, TABLE } from "../../support/linear_laws.ts";
import { onCodes } from "../../support/on_codes.ts";
import { tinyLlama } from "../../support/tiny_models.ts";

laws("moslora()", moslora({ ...ALL, rank: 3, alpha: 5 }), each(ALL, (i, o) => 3 * (i + o + 3)));
laws(
  "moslora() with an orthogonal mixer and dropout",
  moslora({ rank: 2, rankPattern: { v_proj: 4 }, mixer: "orthogonal", dropout: 0.2 }),
  each({}, (i, o, { path }) => path.endsWith("v_proj") ? 4 * (i + o + 4) : 2 * (i + o + 2)),
  { models: [tinyLlama] }, // a GPT-2 has no v_proj of its own
);
laws("moslora() on an embedding", moslora({ ...TABLE, rank: 2 }), each(TABLE, (i, o) => 2 * (i + o + 2)));

goldenMethods({ moslora: moslora({ rank: 3, alpha: 5, targets: TARGETS }) });

Deno.test("moslora()'s mixer is uniform in ±1/√r, or orthogonal", () =>
  assertNoLeak(async () => {
    const model = tinyLlama(reference(), 1);
    const mixers = async (method: Method): Promise<readonly (readonly number[])[]> => {
      const { params } = adapt(model, method, 5);
      const found = leaves(params).filter(([path]) => path.endsWith(".m"));
      const numbers = await Promise.all(found.map(async ([, m]) => [...await read(m)]));
      for (const [, t] of leaves(params)) t.storage.free();
      return numbers;
    };
    const rank = 8;
    const drawn = (await mixers(moslora({ rank }))).flat();
    assert.equal(drawn.length, 4 * rank ** 2);
    const bound = 1 / Math.sqrt(rank);
    assert.ok(drawn.every((x) => Math.abs(x) <= bound));
    const variance = drawn.reduce((sum, x) => sum + x * x, 0) / drawn.length;
    assert.ok(Math.abs(variance / (bound ** 2 / 3) - 1) < 0.3, `${variance}`); // four standard errors of 256 draws
    for (const m of await mixers(moslora({ rank, mixer: "orthogonal" }))) {
      const at = (i: number, j: number) => m[i * rank + j]!;
      const product = m.map((_, n) =>
        m.slice(0, rank).reduce((sum, _, k) => sum + at(Math.floor(n / rank), k) * at(n % rank, k), 0)
      );
      assertClose(product, m.map((_, n) => n % rank === Math.floor(n / rank) ? 1 : 0), 1e-5, "M Mᵀ");
    }
    model.dispose();
  }));

misfits("moslora()", [
  [() => moslora({ rank: 0 }), /^Expected moslora's option "rank" to be a positive integer.* but found 0$/],
  [
    () => moslora({ mixer: "identity" as "kaiming" }),
    /^Expected moslora's option "mixer" to be "kaiming" or "orthogonal" but found "identity"$/,
  ],
]);
onCodes({ "moslora()": moslora({ rank: 3 }) });
