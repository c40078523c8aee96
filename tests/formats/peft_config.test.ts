/** PEFT's config file and its rule for choosing modules (golden file by tests/oracles/peft_targets.py). */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { Json } from "../../core/mod.ts";
import { knownFields, peftConfigText, readPeftConfig } from "../../formats/peft_config.ts";
import { checkAdapterName, peftPrefix, withoutPrefix } from "../../formats/peft_keys.ts";
import { ia3Defaults } from "../../formats/peft_defaults.ts";
import {
  chosenPaths,
  peftTargets,
  pythonPattern,
  pythonSource,
  shortNames,
} from "../../formats/peft_targets.ts";
import { GOLDEN } from "../support/golden.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

Deno.test("chosenPaths() chooses what PEFT chooses", () => {
  const golden = JSON.parse(Deno.readTextFileSync(`${GOLDEN}peft_targets.json`));
  const paths = golden.paths as readonly string[];
  let chosen = 0;
  for (const [target, exclude, saved, layers, pattern, expected] of golden.cases) {
    const fields = {
      target_modules: target,
      exclude_modules: exclude,
      modules_to_save: saved,
      layers_to_transform: layers,
      layers_pattern: pattern,
    };
    const targets = peftTargets(fields, { standard: () => [], linear: () => [] });
    const found = chosenPaths(targets, paths);
    assert.deepEqual(found, expected.map((i: number) => paths[i]), JSON.stringify(fields));
    chosen += found.length;
  }
  assert.ok(golden.cases.length >= 400 && chosen > 1000);
});

Deno.test("chosenPaths() reads layers_pattern as Python does", () => {
  const fields = { target_modules: ["q"], layers_to_transform: [1], layers_pattern: "(?P<n>la|h)yers" };
  const targets = peftTargets(fields, { standard: () => [], linear: () => [] });
  assert.deepEqual(chosenPaths(targets, ["m.layers.0.q", "m.layers.1.q", "m.blocks.1.q"]), ["m.layers.1.q"]);
});

Deno.test("peftTargets() resolves null and all-linear, and refuses layers beside a pattern", () => {
  const whole = { standard: () => ["a"], linear: () => ["b"] };
  assert.deepEqual(peftTargets({}, whole).target_modules, ["a"]);
  assert.deepEqual(peftTargets({ target_modules: "All-Linear" }, whole).target_modules, ["b"]);
  assert.deepEqual(
    peftTargets({ target_modules: "all-linear", layers_to_transform: 2 }, whole).layers_to_transform,
    [2],
  );
  assert.throws(
    () => peftTargets({ target_modules: ".*q", layers_to_transform: [1] }, whole),
    /put it into the pattern/,
  );
  assert.throws(() => peftTargets({ layers_to_transform: ["1"] }, whole), /layer numbers but found \["1"\]/);
  assert.throws(
    () => peftTargets({ target_modules: 3 }, whole),
    /"target_modules" .* list of names but found 3/,
  );
});

Deno.test("pythonSource() then pythonPattern() is the identity", () => {
  for (const pattern of [/.*\.(?<kind>q|v)_proj/, /(?<n>\w)\.\k<n>/, /a.b/i, /x/, /a\/b/]) {
    const back = pythonPattern(pythonSource(pattern));
    assert.equal(back.flags, pattern.flags);
    for (const path of ["m.q_proj", "a.b", "a.a", "A.B", "x", "a/b"]) {
      assert.equal(back.test(path), new RegExp(pattern.source.replace("\\/", "/"), pattern.flags).test(path));
    }
  }
  assert.throws(() => pythonPattern("(a"), /Cannot read the pattern "\(a"/);
});

Deno.test("shortNames() chooses exactly the given paths", () => {
  const segment = fc.constantFrom("a", "b", "c");
  const path = fc.array(segment, { minLength: 1, maxLength: 4 }).map((names) => names.join("."));
  fc.assert(fc.property(fc.uniqueArray(path, { minLength: 1, maxLength: 12 }), fc.nat(), (all, mask) => {
    const chosen = all.filter((_, i) => (mask >> i) % 2 === 1);
    // A path that is the end of another cannot be told from it by any name; PEFT has the same limit.
    fc.pre(!chosen.some((one) => all.some((other) => other.endsWith(`.${one}`) && !chosen.includes(other))));
    const names = shortNames(chosen, all);
    const targets = peftTargets({ target_modules: [...names] }, { standard: () => [], linear: () => [] });
    assert.deepEqual(chosenPaths(targets, all), chosen);
  }));
  const two = ["m.0.q", "m.0.k", "m.1.q", "m.1.k"];
  assert.deepEqual(shortNames(["m.0.q", "m.1.q"], two), ["q"]);
  assert.deepEqual(shortNames(["m.1.q"], two), ["1.q"]);
});

Deno.test("readPeftConfig() refuses what is no PEFT config", () => {
  assert.deepEqual(readPeftConfig("x", bytes('{"peft_type": "lora", "r": 4}')), {
    type: "LORA",
    fields: { r: 4 },
  });
  assert.throws(() => readPeftConfig("x", bytes("[]")), /x: it is not a JSON object/);
  assert.throws(() => readPeftConfig("x", bytes('{"config": {}}')), /no "peft_type"/);
  assert.throws(() => readPeftConfig("x", bytes('{"r": 1, "r": 2}')), /"r" occurs twice/);
});

Deno.test("knownFields() fills defaults and refuses what is switched on and unknown", () => {
  const config = (fields: Readonly<Record<string, Json>>) => ({ type: "LORA", fields });
  const known = { r: 8, use_x: false, megatron_core: "megatron.core" };
  const refused = { use_x: "the X feature" };
  const fields = knownFields(config({ r: 2, unknown: null, other: {}, third: false }), known, refused);
  assert.equal(fields["r"], 2);
  assert.equal(fields["use_x"], false);
  assert.ok(!("unknown" in fields) && !("other" in fields));
  assert.throws(
    () => knownFields(config({ use_x: true }), known, refused),
    /"use_x" \(true\).*the X feature/,
  );
  for (const value of [1, true, "a", ["a"], { a: 1 }] as const) {
    assert.throws(() => knownFields(config({ new_thing: value }), known, refused), /"new_thing"/);
  }
});

Deno.test("peftConfigText() is what Python's json.dumps writes", () => {
  // json.dumps({...}, indent=2, sort_keys=True) in Python 3
  const expected = `{
  "auto_mapping": null,
  "base_model_name_or_path": null,
  "inference_mode": true,
  "peft_type": "LORA",
  "peft_version": "0.21.2",
  "r": 4,
  "rank_pattern": {
    "a": 1,
    "b": 2
  },
  "revision": null,
  "target_modules": [
    "q",
    "k"
  ],
  "task_type": null
}`;
  assert.equal(
    peftConfigText("LORA", { target_modules: ["q", "k"], rank_pattern: { b: 2, a: 1 }, r: 4 }),
    expected,
  );
});

Deno.test("checkAdapterName() and withoutPrefix()", () => {
  checkAdapterName("french", ["model.layers.0"]);
  assert.throws(() => checkAdapterName("0", ["model.layers.0"]), /drops keys with "\.0\."/);
  assert.throws(() => checkAdapterName("", []), /folder's name/);
  const loha = { type: "LOHA", keys: ["model.layers.0.q_proj.hada_w1_a"] };
  assert.throws(() => checkAdapterName("hada_w1_a", [], loha), /drops keys with "\.hada_w1_a\."/);
  assert.throws(() => checkAdapterName("had", [], loha), /part of its own key names/);
  checkAdapterName("lora", [], loha); // harmless there
  assert.equal(withoutPrefix("base_model.model.a.lora_A.weight"), "a.lora_A.weight");
  assert.equal(withoutPrefix("a.base_model.model.b"), "a.base_model.model.b");
});

Deno.test("peftPrefix() is PEFT's own table", () => {
  const table = JSON.parse(Deno.readTextFileSync(`${GOLDEN}peft_prefixes.json`)) as Record<string, string>;
  // Of the others we have no codec.
  const ours = [
    "LORA",
    "ADALORA",
    "LOHA",
    "LOKR",
    "VERA",
    "HRA",
    "MISS",
    "OFT",
    "BOFT",
    "FOURIERFT",
    "RANDLORA",
    "C3A",
    "TINYLORA",
    "PVERA",
    "UNILORA",
    "VBLORA",
    "IA3",
    "LN_TUNING",
  ];
  for (const type of [...ours, "TRAINABLE_TOKENS", "PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "XLORA"]) {
    assert.equal(peftPrefix(type), table[type], type);
  }
});

Deno.test("ia3Defaults() follows PEFT's table", () => {
  // TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING of peft 0.21
  assert.deepEqual(ia3Defaults("qwen2").targets, ["q_proj", "v_proj", "down_proj"]);
  assert.throws(() => ia3Defaults("brand_new"), /"brand_new" is not known/);
});
