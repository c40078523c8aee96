/** What holds for every definition: names, help, defaults, and options that are refused by name when they are misspelt or of the wrong kind. */
import assert from "node:assert/strict";
import { adapt, dispose, type MethodDefinition } from "../../core/mod.ts";
import { type JsonOptions, plainName } from "../../core/options/mod.ts";
import { DEFINITIONS } from "../../methods/index.ts";
import { reference } from "../../ops/reference/mod.ts";
import { commandLineOf } from "../../tuning/chosen_method.ts";
import { assertNoLeak } from "../support/assert.ts";
import { CREATED, namedMethod } from "../support/method_options.ts";
import { tinyLlama } from "../support/tiny_models.ts";

Deno.test("names and aliases of all definitions are different words", () => {
  const seen = new Map<string, string>();
  for (const { name, aliases = [] } of DEFINITIONS) {
    assert.match(name, /^[a-z0-9]+(-[a-z0-9]+)*$/);
    for (const word of [name, ...aliases]) {
      const other = seen.get(plainName(word));
      // "parallel" trains a parallel adapter, and is the name of a combinator, which does not train.
      if (word === "parallel" || other === "parallel") continue;
      assert.equal(other, undefined, `${word} of ${name} is a word of ${other}`);
      seen.set(plainName(word), name);
    }
  }
});

Deno.test("every summary is one sentence of its own, of at most 90 characters", () => {
  const seen = new Map<string, string>();
  for (const { name, summary } of DEFINITIONS) {
    assert.match(summary, /^[A-Z(][^.\n]*[^.\s]\.$/, name);
    assert.ok(summary.length <= 90, `${name}: ${summary.length}`);
    assert.equal(seen.get(summary), undefined, `${name} does what ${seen.get(summary)} does`);
    seen.set(summary, name);
  }
});

Deno.test("every option has a sentence of help, and a default that it accepts itself", () => {
  for (const { name, options, cli } of DEFINITIONS) {
    for (const [option, { help, accepts, ...own }] of Object.entries({ ...options, ...cli?.also })) {
      const what = `${name}.${option}`;
      assert.ok(help.length > 3 && help.length < 160 && !/[.\n]$/.test(help), `${what}: "${help}"`);
      if (own.default !== undefined) assert.ok(accepts(own.default), `${what}: ${own.default}`);
    }
  }
});

Deno.test("every shared flag of a method is an option of it, or shapes one", () => {
  for (const definition of DEFINITIONS.filter(({ cli }) => cli !== undefined)) {
    const { flags, options, also } = commandLineOf(definition);
    for (const flag of flags) {
      const known = Object.hasOwn({ ...definition.options, ...also }, flag);
      assert.ok(known || options !== undefined, `--${flag} of ${definition.name} does nothing`);
    }
  }
});

Deno.test("namedMethod() refuses what an option can not be, for every option of every method", () => {
  // What no option of any method takes.
  const absurd = [null, { "~": "~" }, [[["~"]]]];
  for (const { name: method, options } of CREATED) {
    for (const [option, { program }] of Object.entries(options)) {
      if (program) continue; // tensors and functions of programs

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
      message: refusedName(method, options),
    });
  }
});

/** What is said of the option "rnak": the one that it is near to, if there is one, and all. */
function refusedName(method: string, options: MethodDefinition["options"]): string {
  const all = Object.keys(options);
  if (all.length === 0) return `${method} has no option "rnak": it has none`;
  const near = all.includes("rank") ? 'did you mean "rank"? There' : "there";
  return `${method} has no option "rnak": ${near} are ${all.join(", ")}`;
}

Deno.test("namedMethod() says what would be right", () => {
  const refused: readonly (readonly [string, JsonOptions, string])[] = [
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
    [
      "lora",
      { rank: "8" },
      `Expected lora's option "rank" to be a positive integer of at most 65536 but found "8"`,
    ],
    ["lora", { alpha: "16" }, `Expected lora's option "alpha" to be a number but found "16"`],
    [
      "lora",
      { rankPattern: { q_proj: 0 } },
      `Expected lora's option "rankPattern" to be an object, each value a positive integer of at most 65536 but found {"q_proj":0}`,
    ],
    [
      "oft",
      { blocks: { sizes: 4 } },
      `Expected oft's option "blocks" to be {"size": a positive integer of at most 1048576} or {"count": a positive integer of at most 1048576} but found {"sizes":4}`,
    ],
    [
      "krona",
      { firstFactor: [2] },
      `Expected krona's option "firstFactor" to be two in a list, each a positive integer of at most 1048576 but found [2]`,
    ],
  ];
  for (const [method, options, message] of refused) {
    assert.throws(() => namedMethod(method, options), { name: "RangeError", message });
  }
});

/** Options that count something. */
const SIZES = ["rank", "targetRank", "dimension", "frequencies", "length", "experts", "interval", "factors"];
/** What a method must be told beside them on a model of width 12. */
const BESIDE: Readonly<Record<string, JsonOptions>> = {
  boft: { blocks: { size: 2 } },
  miss: { form: "standard" },
  "phm-adapter": { reduction: 3 },
};

Deno.test("sizes of 0, −1 and 1.5 are refused by their option's name, in every method that has one", () =>
  assertNoLeak(() => {
    const model = tinyLlama(reference(), 1);
    let tried = 0;
    for (const { name: method, options } of CREATED) {
      for (const option of SIZES.filter((name) => name in options)) {
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
    const refused: readonly (readonly [string, JsonOptions, RegExp])[] = [
      // A rule of 250³ numbers was drawn before the sizes were compared.
      [
        "phm-adapter",
        { dimension: 250, reduction: 3 },
        /^Cannot split a layer of 12 to 4 features in 250 parts/,
      ],
      [
        "compacter",
        { dimension: 250, reduction: 3 },
        /^Cannot split a layer of 12 to 4 features in 250 parts/,
      ],
      [
        "bottleneck-adapter",
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
    const refused: readonly (readonly [string, JsonOptions, RegExp])[] = [
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
      ["modules-to-save", { modules: [] }, /^Expected modules to name at least one but found none$/],
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
