/** Options that ask for what is impossible or contradictory: one error that names option, layer and sizes. */
import assert from "node:assert/strict";
import { adapt, at, dispose, leaves, type Method, type Model } from "../../core/mod.ts";
import { loadAdapter } from "../../io/load_adapter.ts";
import { saveAdapter } from "../../io/save_adapter.ts";
import {
  adalora,
  boft,
  dora,
  far,
  fourierft,
  hra,
  krona,
  learnerCount,
  loha,
  lokr,
  lora,
  miss,
  oft,
  pissa,
  vera,
} from "../../methods/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { assertNoLeak } from "../support/assert.ts";
import { tinyLlama } from "../support/tiny_models.ts";

/** Width 12, heads of 4, inner 10. */
function refusing(model: Model, method: () => Method, message: RegExp): void {
  assert.throws(
    () => adapt(model, method()),
    (error) => error instanceof RangeError && message.test(error.message),
  );
}

Deno.test("fresh adapters refuse targets that name a layer twice", () =>
  assertNoLeak(() => {
    const model = tinyLlama(reference(), 1);
    const targets = ["q_proj", "self_attn.q_proj"];
    const message =
      /name a layer once but "q_proj" and "self_attn\.q_proj" are both "model\.layers\.0\.self_attn\.q_proj"/;
    for (const factory of [lora, dora, loha, lokr, krona, vera, miss, adalora, fourierft, oft, boft, hra]) {
      refusing(model, () => factory({ targets } as never) as Method, message);
    }
    refusing(model, () => lora({ targets: ["q_proj", "q_proj"] }), /"q_proj" and "q_proj" are both/);
    model.dispose();
  }));

Deno.test("fresh adapters refuse patterns of ranks that match nothing, or contradict", () =>
  assertNoLeak(() => {
    const model = tinyLlama(reference(), 1);
    for (const factory of [lora, dora, loha, lokr, adalora]) {
      refusing(
        model,
        () => factory({ rankPattern: { up_proj: 2 } } as never) as Method,
        /^The rankPattern "up_proj" matches none of the chosen layers: there are self_attn\.q_proj, self_attn\.v_proj$/,
      );
    }
    const rankPattern = { "q_proj": 2, "layers.1.self_attn.q_proj": 3 };
    refusing(
      model,
      () => lora({ rankPattern }),
      /^Expected one number of rankPattern for "model\.layers\.1\.self_attn\.q_proj" but "q_proj" gives 2 and "layers\.1\.self_attn\.q_proj" 3$/,
    );
    refusing(model, () => lora({ alphaPattern: { nope: 2 } }), /The alphaPattern "nope" matches none/);
    refusing(
      model,
      () => fourierft({ frequencies: 4, frequencyPattern: { nope: 2 } }),
      /The frequencyPattern "nope" matches none/,
    );
    model.dispose();
  }));

Deno.test("fresh adapters say that the places they are limited to have no layer", () => {
  const model = tinyLlama(reference(), 2);
  assert.throws(() => adapt(model, at(() => false, lora())), {
    name: "RangeError",
    message: '"query, value" matches no layer of the model: there is none',
  });
  model.dispose();
});

Deno.test("a folder whose patterns overlap loads as PEFT reads it: the first one counts", () =>
  assertNoLeak(async () => {
    const folder = Deno.makeTempDirSync();
    try {
      const model = tinyLlama(reference(), 1);
      const adapter = adapt(model, lora({ rank: 4, rankPattern: { q_proj: 2 } }));
      await saveAdapter(`${folder}/a`, adapter, model);
      const path = `${folder}/a/adapter_config.json`;
      const config = JSON.parse(Deno.readTextFileSync(path));
      const overlapping = {
        "self_attn.q_proj": 2,
        ...config.rank_pattern,
        "layers.1.self_attn.q_proj": 3,
        "nope": 7,
      };
      Deno.writeTextFileSync(path, JSON.stringify({ ...config, rank_pattern: overlapping }));
      const loaded = await loadAdapter(`${folder}/a`, model);
      const shapes = (params: typeof loaded.params) => leaves(params).map(([path, t]) => [path, t.shape]);
      assert.deepEqual(shapes(loaded.params), shapes(adapter.params));
      dispose([loaded.params, adapter.params]);
      model.dispose();
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  }));

Deno.test("ranks and sizes that a layer cannot have are refused with its shape", () =>
  assertNoLeak(async () => {
    const model = tinyLlama(reference(), 1);
    refusing(
      model,
      () => hra({ rank: 14 }),
      /hra of rank 14 on ".*q_proj": its input of 12 has no more directions/,
    );
    refusing(model, () => miss({ rank: 13 }), /rank 13 on ".*q_proj" \[16, 12\]: the rank exceeds the input/);
    refusing(model, () => oft({ blocks: { size: 5 } }), /its input of 12 is no multiple of the block size 5/);
    refusing(model, () => krona({ firstFactor: [5, 7] }), /".*q_proj" \[16, 12\] by a first factor \[5, 7\]/);
    refusing(
      model,
      () => fourierft({ frequencies: 193 }),
      /193 frequencies of ".*q_proj" \[16, 12\]: it has 192/,
    );
    await assert.rejects(pissa(model, { rank: 13 }), /rank 13 from ".*q_proj" \[16, 12\]: choose at most 12/);
    model.dispose();
  }));

Deno.test("budgets below one element are refused", () => {
  const place = { path: "mlp.up_proj", outFeatures: 10 };
  assert.equal(learnerCount(place, 0.06), 1);
  assert.throws(() => learnerCount(place, 0.04), {
    name: "RangeError",
    message: 'Expected retention to leave at least one of the 10 nodes of "mlp.up_proj" but found 0.04',
  });
  assert.throws(() => far({ learners: {} }), RangeError);
});
