/** Options as a file: what it sets, what the command line overrides, what it refuses, its schema, and a run from one. */
import assert from "node:assert/strict";
import { Ajv2020 } from "ajv/2020";
import { parse } from "yaml";
import {
  bytes,
  integer,
  momentary,
  names,
  newProgram,
  number,
  option,
} from "../../../cli/terminal/arguments.ts";
import { applyRunFile, runFileSchema, runFileText } from "../../../cli/terminal/run_file.ts";
import { exists } from "../../../io/path_exists.ts";
import { graft, temporaryFolder, tinyData, tinyModel } from "../tiny.ts";

/** A command with every kind of option, after some arguments. */
function command(...args: readonly string[]) {
  const made = newProgram("graft", "", "1").option("--rank <n>", "", integer()).option(
    "--targets <names>",
    "",
    names,
  )
    .option("--rate <x>", "", number({ above: 0, below: 1 }), 0.5).option("--packing", "").addOption(
      momentary(option("--json", "")),
    )
    .option("--size <bytes>", "", bytes).addOption(option("--name <text>", ""))
    .action(() => {});
  return made.parse([...args], { from: "user" });
}

function applied(text: string, ...args: readonly string[]) {
  const made = command(...args);
  using folder = temporaryFolder();
  Deno.writeTextFileSync(`${folder.path}/run.yaml`, text);
  applyRunFile(made, `${folder.path}/run.yaml`);
  return made;
}

Deno.test("applyRunFile() sets what the command line has not, in YAML and in JSON", () => {
  const yaml = "rank: 4\ntargets: [q, v] # two\nrate: 1e-3\npacking: true\nsize: 2 GB\nname: 12\n";
  const wanted = { rank: 4, targets: ["q", "v"], rate: 1e-3, packing: true, size: 2e9, name: "12" };
  assert.deepEqual(applied(yaml).opts(), wanted);
  const json = { $schema: "s.json", ...wanted, targets: "q,v", packing: false, name: null };
  assert.deepEqual(applied(JSON.stringify(json)).opts(), {
    rank: 4,
    targets: ["q", "v"],
    rate: 1e-3,
    size: 2e9,
  });
  assert.deepEqual(applied(yaml, "--rank", "2", "--rate", "0.5").opts(), { ...wanted, rank: 2, rate: 0.5 });
});

Deno.test("applyRunFile() names the file and the key of what it refuses", () => {
  const refused: readonly (readonly [string, RegExp])[] = [
    ["rnak: 4", /run\.yaml has an unknown key "rnak": did you mean "rank"\?/],
    ["json: true", /run\.yaml has an unknown key "json"/],
    ["rank: 0", /run\.yaml, rank: Expected an integer from 1 but found "0"/],
    ["rank: [1, [2]]", /Expected rank in .*run\.yaml to be text or a number but found \[1,\[2\]\]/],
    ["rate: 2", /run\.yaml, rate: Expected a number above 0 below 1 but found "2"/],
    ["packing: 1", /Expected packing in .*run\.yaml to be true or false but found 1/],
    ["- rank", /Expected .*run\.yaml to have lines such as "rank: 8"/],
    ["rank: 4\nrank: 5", /Cannot read .*run\.yaml: Map keys must be unique at line 2/],
    ["", /Expected .*run\.yaml to have lines/],
  ];
  for (const [text, message] of refused) assert.throws(() => applied(text), message, text);
});

Deno.test("runFileText() has what was given, and reads as the same", () => {
  const made = applied("targets: q,v\nname: x", "--rank", "3", "--json");
  assert.deepEqual(parse(runFileText(made)), { rank: 3, targets: ["q", "v"], name: "x" });
  const { json: _, ...rest } = made.opts();
  assert.deepEqual(applied(runFileText(made)).opts(), rest);
});

Deno.test("runFileSchema() accepts what applyRunFile() accepts, by another validator", () => {
  const validate = new Ajv2020().compile(runFileSchema(command(), "test"));
  const good = { rank: 4, targets: ["q"], rate: 0.1, packing: true, size: "1GB", name: "x" };
  assert.ok(validate(good), JSON.stringify(validate.errors));
  for (
    const bad of [{ rank: 0 }, { rnak: 1 }, { rate: 1 }, { packing: "yes" }, { json: true }, { targets: [1] }]
  ) {
    assert.equal(validate(bad), false, JSON.stringify(bad));
  }
});

Deno.test("graft finetune runs a file, keeps it with the adapter, and resumes from the folder alone", async () => {
  using folder = temporaryFolder();
  const [model, data] = [tinyModel(folder.path), tinyData(folder.path)];
  const [output, file] = [`${folder.path}/adapter`, `${folder.path}/mine.yaml`];
  const flags = ["-m", model, "-d", data, "--rank", "2", "--max-steps", "4", "--backend", "reference"];
  const saved = await graft(["finetune", ...flags, "-o", output, "--save-config", file]);
  assert.equal(saved.code, 0, saved.err);
  assert.deepEqual(parse(Deno.readTextFileSync(file)), {
    data,
    output,
    model,
    backend: "reference",
    rank: 2,
    "max-steps": 4,
  });
  assert.ok(!exists(output), "nothing is trained");
  const ran = await graft(["finetune", file, "--max-steps", "3", "--keep-checkpoint"]);
  assert.equal(ran.code, 0, ran.err);
  assert.match(ran.out, /after 3 steps/);
  const kept = parse(Deno.readTextFileSync(`${output}/run.yaml`));
  assert.deepEqual([kept["max-steps"], kept.rank, kept.model], [3, 2, model]);
  const bytes = Deno.readFileSync(`${output}/adapter_model.safetensors`);
  const again = await graft(["finetune", "--resume", "-o", output]);
  assert.equal(again.code, 0, again.err);
  assert.deepEqual(Deno.readFileSync(`${output}/adapter_model.safetensors`), bytes);
  const plain = `${folder.path}/plain`;
  assert.equal((await graft(["finetune", file, "-o", plain])).code, 0);
  assert.ok(!exists(`${plain}/checkpoint`), "a finished run keeps no checkpoint");
  const over = await graft(["finetune", "--resume", "-o", plain]);
  assert.match(over.err, /Cannot resume .*plain: its run is finished/);
});

Deno.test("cli/run.schema.json is what graft finetune --schema prints, and a saved run is valid by it", async () => {
  const schema = JSON.parse(Deno.readTextFileSync(new URL("../../../cli/run.schema.json", import.meta.url)));
  const printed = await graft(["finetune", "--schema"]);
  assert.deepEqual(JSON.parse(printed.out), schema, "deno task schema writes it anew");
  using folder = temporaryFolder();
  const file = `${folder.path}/run.yaml`;
  const flags = ["-m", "m", "-d", "d.jsonl", "--rank", "2", "--targets", "q_proj,v_proj", "--packing"];
  const saved = await graft(["finetune", ...flags, "--save-config", file]);
  assert.equal(saved.code, 0, saved.err);
  const validate = new Ajv2020({ strict: false }).compile(schema);
  assert.ok(validate(parse(Deno.readTextFileSync(file))), JSON.stringify(validate.errors));
});
