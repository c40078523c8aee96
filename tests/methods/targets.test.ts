/** How methods of layers take targets, layers left out, patterns and numbers of blocks: all of them alike. */
import assert from "node:assert/strict";
import { adapt, at, dispose, type Method, type Model } from "../../core/mod.ts";
import {
  adalora,
  beft,
  boft,
  c3a,
  deft,
  delora,
  dora,
  fourierft,
  glora,
  gralora,
  hira,
  hra,
  ia3,
  krona,
  lily,
  loha,
  lokr,
  lora,
  miss,
  oft,
  osf,
  peanut,
  poly,
  randlora,
  road,
  shira,
  uniLora,
  vbLora,
  vera,
  waveft,
} from "../../methods/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { assertNoLeak } from "../support/assert.ts";
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
      /^RangeError: Expected lora.s option "targets" to be "all-linear" or a list of names or .* but found "all-linears"$/,
    );
    model.dispose();
  }));

Deno.test("ranks and α of patterns are refused by the pattern's name", () => {
  for (const factory of [lora, dora, loha, lokr, adalora]) {
    const refused: readonly (readonly [object, RegExp])[] = [
      [
        { rankPattern: { q_proj: -1 } },
        /rankPattern.* to be .*a (positive|non-negative) integer.* but found .*-1/,
      ],
      [
        { rankPattern: { q_proj: 1.5 } },
        /rankPattern.* to be .*a (positive|non-negative) integer.* but found .*1\.5/,
      ],
      [{ alpha: NaN }, /alpha.* to be a .*number.* but found NaN/],
    ];
    for (const [options, message] of refused) assert.throws(() => factory(options as never), message);
  }
  for (const factory of [lora, dora, loha, lokr]) {
    assert.throws(
      () => factory({ alphaPattern: { v_proj: Infinity } }),
      /^RangeError: Expected .*alphaPattern.* to be .*number.* but found /,
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
      const own = Object.entries(sized).filter(([name]) =>
        !("definition" in factory) || Object.hasOwn(factory.definition.options, name)
      );
      refusing(model, () => factory(Object.fromEntries(own) as never) as Method, message);
    }
    model.dispose();
  }));

Deno.test("deft(), peanut(), lily(), beft(), poly(), glora() and osf() refuse targets and layers left out so, too", () =>
  assertNoLeak(() => {
    const model = tinyLlama(reference(), 1);
    for (const factory of [deft, peanut, lily, beft, poly, glora, osf]) {
      refusing(
        model,
        () => factory({ targets: ["q_proj", "self_attn.q_proj"] }),
        /name a layer once but "q_proj" and "self_attn\.q_proj" are both/,
      );
      refusing(model, () => factory({ exclude: ["down_prj"] }), /^The exclude "down_prj" matches no layer/);
    }
    model.dispose();
  }));
