/** Options that ask for what is impossible or contradictory: one error that names option, layer and sizes. */
import assert from "node:assert/strict";
import {
  adapt,
  type Adapter,
  at,
  count,
  dispose,
  forward,
  graft,
  leaves,
  type Method,
  type Model,
  read,
} from "../../core/mod.ts";
import { loadAdapter } from "../../io/load_adapter.ts";
import { saveAdapter } from "../../io/save_adapter.ts";
import {
  adalora,
  beft,
  boft,
  c3a,
  deft,
  delora,
  diffPruning,
  diffPruningFixed,
  dora,
  eva,
  far,
  fishMask,
  fourierft,
  glora,
  gralora,
  hira,
  hra,
  ia3,
  intrinsicSaid,
  krona,
  layerNormTune,
  learnerCount,
  lily,
  loha,
  lokr,
  lora,
  ltSft,
  miss,
  oft,
  only,
  osf,
  peanut,
  pissa,
  poly,
  pvera,
  randlora,
  road,
  shira,
  type SparseMask,
  tinyLora,
  toLora,
  trainableTokens,
  uniLora,
  vbLora,
  vera,
  waveft,
} from "../../methods/mod.ts";
import { ltSftLeaves } from "../../methods/selective/lt_sft.ts";
import { reference } from "../../ops/reference/mod.ts";
import { assertClose, assertNoLeak } from "../support/assert.ts";
import { tinyLlama } from "../support/tiny_models.ts";

/** Methods of layers that `targets` and `exclude` choose. */
const OF_LAYERS = [
  lora,
  dora,
  loha,
  lokr,
  krona,
  vera,
  miss,
  adalora,
  fourierft,
  oft,
  boft,
  hra,
  c3a,
  randlora,
  vbLora,
  road,
  delora,
  hira,
  shira,
  gralora,
  waveft,
  uniLora,
] as const;

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
    for (const factory of OF_LAYERS) {
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
    refusing(
      model,
      () => c3a({ block: 5 }),
      /circulant blocks on ".*q_proj" \[16, 12\]: 5 divides not both sizes/,
    );
    refusing(
      model,
      () => c3a({ block: 4, blockPattern: { nope: 2 } }),
      /The blockPattern "nope" matches none/,
    );
    refusing(
      model,
      () => c3a({ blockPattern: { q_proj: 0 } }),
      /blockPattern "q_proj" to be a positive integer/,
    );
    refusing(model, () => vbLora({ vectors: 2, topK: 3 }), /topK to be at most the 2 vectors of the bank/);
    refusing(
      model,
      () => vbLora({ length: 5 }),
      /q_proj" \[16, 12\] of vectors of 5: that divides not both sizes/,
    );
    refusing(model, () => vbLora({ rank: 1.5 }), /rank to be a positive integer but found 1.5/);
    refusing(model, () => uniLora({ dimension: 0 }), /dimension to be a positive integer but found 0/);
    refusing(model, () => uniLora({ projectionSeed: -1 }), /projectionSeed to be a non-negative integer/);
    refusing(model, () => pvera({ rank: 0 }), /rank to be a positive integer but found 0/);
    refusing(model, () => pvera({ dropout: -1 }), /dropout from 0 up to 1 but found -1/);
    refusing(model, () => tinyLora({ dimension: 0 }), /dimension to be a positive integer but found 0/);
    refusing(model, () => tinyLora({ tying: 1.5 }), /tying from 0 to 1 but found 1.5/);
    refusing(
      model,
      () => tinyLora({ targets: ["embed_tokens"] }),
      /tinyLora on the embedding "model.embed_tokens"/,
    );
    refusing(model, () => randlora({ rank: 0 }), /rank to be a positive integer but found 0/);
    refusing(model, () => randlora({ dropout: 1 }), /dropout from 0 up to 1 but found 1/);
    refusing(model, () => randlora({ alpha: NaN }), /alpha to be a finite number/);
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

Deno.test("layers left out that are no layers of the model are refused, and named where nothing is left", () =>
  assertNoLeak(() => {
    const model = tinyLlama(reference(), 1);
    for (const factory of OF_LAYERS) {
      refusing(
        model,
        () => factory({ exclude: ["down_prj"] } as never) as Method,
        /^The exclude "down_prj" matches no layer of the model: there are self_attn\.q_proj, /,
      );
    }
    refusing(
      model,
      () => lora({ exclude: /.*\.7\..*/ }),
      /^The exclude \/\.\*\\\.7\\\.\.\*\/ matches no layer/,
    );
    refusing(
      model,
      () => lora({ exclude: ["q_proj", "v_proj"] }),
      /^"query, value" without \["q_proj","v_proj"\] matches no layer/,
    );
    // A layer that the targets do not choose either may be named.
    dispose(adapt(model, lora({ rank: 2, targets: "all-linear", exclude: ["lm_head"] })).params);
    assert.throws(
      () => adapt(model, lora({ targets: "all-linears" as "all-linear" })),
      /^TypeError: Expected targets to be a list of names, .* but found "all-linears"$/,
    );
    model.dispose();
  }));

Deno.test("ranks and α of patterns are refused by the pattern's name", () => {
  for (const factory of [lora, dora, loha, lokr, adalora]) {
    const refused: readonly (readonly [object, RegExp])[] = [
      [
        { rankPattern: { q_proj: -1 } },
        /Expected rankPattern "q_proj" to be a positive integer but found -1/,
      ],
      [{ rankPattern: { q_proj: 1.5 } }, /Expected rankPattern "q_proj" to be a positive integer/],
      [{ alpha: NaN }, /Expected alpha to be a finite number but found NaN/],
    ];
    for (const [options, message] of refused) assert.throws(() => factory(options as never), message);
  }
  for (const factory of [lora, dora, loha, lokr]) {
    assert.throws(
      () => factory({ alphaPattern: { v_proj: Infinity } }),
      /^RangeError: Expected alphaPattern "v_proj" to be a finite number but found Infinity/,
    );
  }
});

Deno.test("a pattern that is no regular expression is refused by the option's name", () =>
  assertNoLeak(() => {
    const model = tinyLlama(reference(), 1);
    assert.throws(
      () => adapt(model, lora({ rankPattern: { "(": 2 } })),
      /^SyntaxError: The rankPattern "\(" is no regular expression: /,
    );
    model.dispose();
  }));

Deno.test("a rank over a matrix's smaller size is waste, not an error: toLora brings it down", () =>
  assertNoLeak(async () => {
    const model = tinyLlama(reference(), 1);
    const adapter = adapt(model, lora({ rank: 50, targets: ["q_proj"], initialization: "none" })); // [16, 12]
    assert.equal(count(model, adapter).trainable, 2 * 50 * (16 + 12));
    const { adapter: small, error } = await toLora(model, adapter, { error: 0 });
    assert.deepEqual(leaves(small.params).map(([, t]) => t.shape), [[12, 12], [16, 12], [12, 12], [16, 12]]);
    assert.ok(error < 1e-6);
    const logits = async (which: Adapter): Promise<Float32Array> => {
      const { logits } = forward(graft(model, which), { inputIds: [[1, 2, 3]] });
      const numbers = await read(logits);
      dispose(logits);
      return numbers;
    };
    assertClose(await logits(small), await logits(adapter), 1e-5, "logits");
    dispose([small.params, adapter.params]);
    model.dispose();
  }));

Deno.test("eva() refuses the ranks that lora() refuses, before it looks at a batch", async () => {
  const model = tinyLlama(reference(), 1);
  for (const rank of [0, -1, 1.5, NaN]) {
    await assert.rejects(
      eva(model, [{ inputIds: [[1, 2, 3]] }], { rank }),
      { name: "RangeError", message: `Expected rank to be a positive integer but found ${rank}` },
    );
  }
  model.dispose();
});

Deno.test("masks that do not fit are refused by method, leaf and shape", () =>
  assertNoLeak(() => {
    const model = tinyLlama(reference(), 1);
    const path = "model.layers.0.mlp.up_proj.weight"; // [10, 12]
    const leaf = (...indices: number[]) => ({ path, shape: [10, 12], indices: Int32Array.from(indices) });
    for (const factory of [fishMask, ltSft, diffPruningFixed]) {
      const refused: readonly (readonly [SparseMask, RegExp])[] = [
        [
          { leaves: [leaf(5, 1)], whole: [] },
          /of the mask of \w+ for ".*up_proj\.weight" \[10, 12\] to rise below 120 but found 1 after 5/,
        ],
        [{ leaves: [leaf(5, 5)], whole: [] }, /to rise below 120 but found 5 after 5/],
        [{ leaves: [leaf(1, 500, 2)], whole: [] }, /to rise below 120 but found 500 after 1/],
        [{ leaves: [leaf(-1)], whole: [] }, /to rise below 120 but found -1/],
        [
          { leaves: [leaf(1), leaf(2)], whole: [] },
          /each leaf once in the mask of \w+ but ".*up_proj\.weight" is there twice/,
        ],
        [
          { leaves: [leaf(1)], whole: ["classifier.weight"] },
          /mask of \w+ on this model: it has no weight "classifier\.weight"/,
        ],
        [
          { leaves: [{ ...leaf(1), shape: [12, 10] }], whole: [] },
          /up_proj\.weight: expected \[12, 10\] but found \[10, 12\]/,
        ],
      ];
      for (const [mask, message] of refused) refusing(model, () => factory({ mask }), message);
    }
    const learners = (...nodes: number[]) => () => far({ learners: { "model.layers.0.mlp.up_proj": nodes } });
    refusing(
      model,
      learners(1, 1),
      /learning nodes of far for ".*up_proj" to rise below 10 but found 1 after 1/,
    );
    refusing(model, learners(3, 10), /to rise below 10 but found 10 after 3/);
    model.dispose();
  }));

Deno.test("only() refuses each name that matches no weight", () =>
  assertNoLeak(() => {
    const model = tinyLlama(reference(), 1);
    refusing(
      model,
      () => only({ parameters: ["norm.weight", "nrm.bias"] }),
      /^"nrm\.bias" of only matches no weight of the model$/,
    );
    refusing(model, () => only({ parameters: /.*bias/ }), /^\/\.\*bias\/ of only matches no weight/);
    model.dispose();
  }));

Deno.test("names of weights, norms and tables match once each, and those of a mask's frozen leaves something", () =>
  assertNoLeak(() => {
    const model = tinyLlama(reference(), 1);
    const both = ["norm.weight", "model.norm.weight"];
    const twice = /weight once but "norm\.weight" and "model\.norm\.weight" are both "model\.norm\.weight"$/;
    refusing(model, () => only({ parameters: both }), twice);
    refusing(model, () => intrinsicSaid({ dimension: 50, parameters: both }), twice);
    refusing(
      model,
      () => intrinsicSaid({ dimension: 50, parameters: ["norm.weight", "nrm.weight"] }),
      /^"nrm\.weight" of intrinsicSaid matches no weight of the model$/,
    );
    refusing(
      model,
      () => layerNormTune({ norms: ["norm", "model.norm"] }),
      /^Expected norms that name a norm once but "norm" and "model\.norm" are both "model\.norm"$/,
    );
    refusing(
      model,
      () => trainableTokens({ tokens: { embed_tokens: [1], "model.embed_tokens": [2] } }),
      /^Expected names of tokens to match "model\.embed_tokens" once but two of them do$/,
    );
    for (const frozen of [["nrm.weight"], /nrm.*/]) {
      assert.throws(
        () => ltSftLeaves(model, { frozen }),
        /^RangeError: Cannot place ltSft: no weight is called .*nrm.*, which frozen names$/,
      );
    }
    model.dispose();
  }));

Deno.test("numbers of blocks that the model lacks are refused, others beside them or not", () =>
  assertNoLeak(() => {
    const model = tinyLlama(reference(), 1);
    const message = /^Expected layers to number blocks of the model, up to 1, but found 7$/;
    for (
      const factory of [
        lora,
        dora,
        loha,
        lokr,
        krona,
        vera,
        miss,
        adalora,
        fourierft,
        oft,
        boft,
        hra,
        deft,
        peanut,
        beft,
        ia3,
      ]
    ) {
      const sized = { rank: 2, frequencies: 2, blocks: { size: 2 }, layers: [0, 7] };
      refusing(model, () => factory(sized as never) as Method, message);
    }
    model.dispose();
  }));

Deno.test("deft(), peanut() and lily() refuse numbers out of range, and embeddings", () =>
  assertNoLeak(() => {
    const refused: readonly (readonly [() => unknown, RegExp])[] = [
      [() => deft({ rank: 0 }), /^RangeError: Expected rank to be a positive integer but found 0$/],
      [
        () => deft({ alpha: 0 }),
        /^RangeError: Expected alpha to be a finite number other than 0 but found 0$/,
      ],
      [() => deft({ dropout: 1 }), /^RangeError: Expected dropout from 0 up to 1 but found 1$/],
      [() => peanut({ rank: 1.5 }), /^RangeError: Expected rank to be a positive integer but found 1\.5$/],
      [
        () => peanut({ depth: -1 }),
        /^RangeError: Expected depth to be an integer of 0 or more but found -1$/,
      ],
      [() => lily({ stride: 0 }), /^RangeError: Expected stride to be a positive integer but found 0$/],
      [
        () => lily({ experts: 1 }),
        /^RangeError: Expected experts to be an integer of 2 or more but found 1$/,
      ],
      [() => peanut({ scale: NaN }), /^RangeError: Expected scale to be a finite number but found NaN$/],
    ];
    for (const [make, message] of refused) assert.throws(make, message);
    const model = tinyLlama(reference(), 1);
    for (const factory of [deft, peanut, lily, beft, poly, glora, osf]) {
      refusing(
        model,
        () => factory({ targets: ["q_proj", "self_attn.q_proj"] }),
        /name a layer once but "q_proj" and "self_attn\.q_proj" are both/,
      );
      refusing(model, () => factory({ exclude: ["down_prj"] }), /^The exclude "down_prj" matches no layer/);
    }
    for (const factory of [deft, peanut, lily]) {
      refusing(
        model,
        () => factory({ targets: ["embed_tokens"] }),
        /^Cannot put (deft|peanut|lily) on the embedding "model\.embed_tokens": leave it out of the targets$/,
      );
    }
    const ends = /^Expected "model\.layers\.0\.self_attn\.v_proj" to end in one name of sharing but found /;
    refusing(model, () => lily({ sharing: ["q_proj"] }), new RegExp(`${ends.source}none$`));
    refusing(model, () => lily({ sharing: ["q_proj", "proj", "v_proj"], targets: ["v_proj"] }), ends);
    model.dispose();
  }));

Deno.test("scales, starts and seeds that are no numbers are refused before a model is seen", () => {
  const refused: readonly (readonly [() => unknown, RegExp])[] = [
    [() => krona({ scale: NaN }), /^RangeError: Expected scale to be a finite number but found NaN$/],
    [() => fourierft({ scale: Infinity }), /^RangeError: Expected scale to be a finite number but found Inf/],
    [
      () => fourierft({ positionSeed: 1.5 }),
      /^RangeError: Expected positionSeed to be an integer but found 1/,
    ],
    [() => waveft({ scale: NaN }), /^RangeError: Expected scale to be a finite number but found NaN$/],
    [() => shira({ positionSeed: 0.5 }), /^RangeError: Expected positionSeed to be an integer but found 0/],
    [() => vera({ initialD: NaN }), /^RangeError: Expected initialD to be a finite number but found NaN$/],
    [
      () => vera({ projectionSeed: 0.5 }),
      /^RangeError: Expected projectionSeed to be an integer but found 0/,
    ],
    [
      () => diffPruning({ penalty: "expected" as "sum" }),
      /^RangeError: Expected penalty to be sum or product but found "expected"$/,
    ],
    [
      () => diffPruning({ structure: "tensors" as "tensor" }),
      /^RangeError: Expected structure to be tensor or none but found "tensors"$/,
    ],
    [
      () => diffPruning({ initialAlpha: NaN }),
      /^RangeError: Expected initialAlpha to be a finite number but f/,
    ],
  ];
  for (const [make, message] of refused) assert.throws(make, message);
});

Deno.test("budgets below one element are refused", () => {
  const place = { path: "mlp.up_proj", outFeatures: 10 };
  assert.equal(learnerCount(place, 0.06), 1);
  assert.throws(() => learnerCount(place, 0.04), {
    name: "RangeError",
    message: 'Expected retention to leave at least one of the 10 nodes of "mlp.up_proj" but found 0.04',
  });
  assert.throws(() => far({ learners: {} }), RangeError);
});
