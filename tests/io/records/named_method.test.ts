/** Options from JSON: whatever is misspelt or of the wrong kind is refused by name, for every method and every option. */
import assert from "node:assert/strict";
import { adapt, dispose } from "../../../core/mod.ts";
import { type BuiltMethod, METHOD_OPTIONS } from "../../../io/records/method_options.ts";
import { namedMethod } from "../../../io/records/named_method.ts";
import type { JsonOptions } from "../../../core/options/option_json.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertNoLeak } from "../../support/assert.ts";
import { tinyLlama } from "../../support/tiny_models.ts";

const METHODS = Object.keys(METHOD_OPTIONS) as readonly BuiltMethod[];

Deno.test("namedMethod() refuses what an option can not be, for every option of every method", () => {
  // What no option of any method takes.
  const absurd = [null, { "~": "~" }, [[["~"]]]];
  for (const method of METHODS) {
    for (const option of Object.keys(METHOD_OPTIONS[method])) {
      // The source of a pattern is a text, and so is a task's name.
      const text = ["norms", "parameters", "task"].includes(option) ? [] : ["~"];
      for (const value of [...absurd, ...text]) {
        assert.throws(
          () => namedMethod(method, { [option]: value }),
          (error: Error) =>
            error instanceof RangeError &&
            error.message.startsWith(`Expected ${method}'s option "${option}" to be `) &&
            error.message.endsWith(` but found ${JSON.stringify(value)}`),
          `${method}.${option} = ${JSON.stringify(value)}`,
        );
      }
    }
    assert.throws(() => namedMethod(method, { rnak: 4 }), {
      name: "RangeError",
      message: refusedName(method),
    });
  }
});

/** What is said of the option "rnak": the one that it is near to, if there is one, and all. */
function refusedName(method: BuiltMethod): string {
  const all = Object.keys(METHOD_OPTIONS[method]);
  const near = all.includes("rank") ? 'did you mean "rank"? There' : "there";
  return `${method} has no option "rnak": ${near} are ${all.join(", ")}`;
}

Deno.test("namedMethod() says what would be right", () => {
  const refused: readonly (readonly [BuiltMethod, JsonOptions, string])[] = [
    // Until these were checked, LoRA took this one for α/r.
    [
      "lora",
      { scaling: "rankStabilised" },
      `Expected lora's option "scaling" to be "standard" or "rankStabilized" but found "rankStabilised"`,
    ],
    [
      "lora",
      { targets: "q_proj" },
      `Expected lora's option "targets" to be "all-linear" or a list of names or {"pattern": "…"} but found "q_proj"`,
    ],
    ["lora", { rank: "8" }, `Expected lora's option "rank" to be a positive integer but found "8"`],
    ["lora", { alpha: 0 }, `Expected lora's option "alpha" to be a number other than 0 but found 0`],
    [
      "lora",
      { rankPattern: { q_proj: 0 } },
      `Expected lora's option "rankPattern" to be an object, each value a positive integer but found {"q_proj":0}`,
    ],
    [
      "oft",
      { blocks: { sizes: 4 } },
      `Expected oft's option "blocks" to be {"size": a number} or {"count": a number} but found {"sizes":4}`,
    ],
    [
      "krona",
      { firstFactor: [2] },
      `Expected krona's option "firstFactor" to be two in a list, each a number but found [2]`,
    ],
  ];
  for (const [method, options, message] of refused) {
    assert.throws(() => namedMethod(method, options), { name: "RangeError", message });
  }
});

/** Options that count something. */
const SIZES = ["rank", "targetRank", "dimension", "frequencies", "length", "experts", "interval", "factors"];
/** What a method must be told beside them on a model of width 12. */
const BESIDE: Readonly<Partial<Record<BuiltMethod, JsonOptions>>> = {
  boft: { blocks: { size: 2 } },
  miss: { form: "standard" },
  phmAdapter: { reduction: 3 },
};

Deno.test("sizes of 0, −1 and 1.5 are refused by their option's name, in every method that has one", () =>
  assertNoLeak(() => {
    const model = tinyLlama(reference(), 1);
    let tried = 0;
    for (const method of METHODS) {
      for (const option of SIZES.filter((name) => name in METHOD_OPTIONS[method])) {
        for (const value of [0, -1, 1.5]) {
          assert.throws(
            () => adapt(model, namedMethod(method, { ...BESIDE[method], [option]: value })),
            (error: Error) =>
              error instanceof RangeError && error.message.includes(option) &&
              error.message.endsWith(` but found ${value}`),
            `${method}.${option} = ${value}`,
          );
          tried++;
        }
      }
    }
    assert.ok(tried > 70, `${tried}`);
    model.dispose();
  }));

Deno.test("sizes far beyond the model's are refused before anything of that size is made", () =>
  assertNoLeak(() => {
    const model = tinyLlama(reference(), 1);
    const refused: readonly (readonly [BuiltMethod, JsonOptions, RegExp])[] = [
      // A rule of 250³ numbers was drawn before the sizes were compared.
      [
        "phmAdapter",
        { dimension: 250, reduction: 3 },
        /^Cannot split a layer of 12 to 4 features in 250 parts/,
      ],
      [
        "compacter",
        { dimension: 250, reduction: 3 },
        /^Cannot split a layer of 12 to 4 features in 250 parts/,
      ],
      [
        "bottleneckAdapter",
        { reduction: 3, phm: { dimension: 250, rank: 1, rule: "shared" } },
        /^Cannot split a layer of 12 to 4 features in 250 parts/,
      ],
      ["miss", { rank: 1000 }, /rank 1000 on ".*q_proj" \[16, 12\]: the rank exceeds the input/],
      ["hra", { rank: 1000 }, /hra of rank 1000 on ".*q_proj": its input of 12 has no more directions/],
      ["fourierft", { frequencies: 1000 }, /1000 frequencies of ".*q_proj" \[16, 12\]: it has 192/],
    ];
    for (const [method, options, message] of refused) {
      assert.throws(
        () => adapt(model, namedMethod(method, options)),
        (error: Error) => error instanceof RangeError && message.test(error.message),
        method,
      );
    }
    model.dispose();
  }));

Deno.test("options that would do nothing are refused", () =>
  assertNoLeak(() => {
    const model = tinyLlama(reference(), 1);
    const refused: readonly (readonly [BuiltMethod, JsonOptions, RegExp])[] = [
      [
        "miss",
        { rank: 4, miniRank: 2 },
        /^Cannot use miniRank with form "standard" of miss: set it to "mini"$/,
      ],
      [
        "ia3",
        { feedForward: ["fc1"] },
        /^feedForward "fc1" matches none of the chosen layers: there are model\.layers\.0\.self_attn\.k_proj/,
      ],
      ["modulesToSave", { modules: [] }, /^Expected modules to name at least one but found none$/],
      ["houlsby", { after: [] }, /^Expected after to name at least one part of a block for houlsby$/],
    ];
    for (const [method, options, message] of refused) {
      assert.throws(
        () => dispose(adapt(model, namedMethod(method, options)).params),
        (error: Error) => error instanceof RangeError && message.test(error.message),
        method,
      );
    }
    model.dispose();
  }));
