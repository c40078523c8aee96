/** What the commands refuse, in one line that says what and where; and their help. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { bytes, integer, newProgram, number, runProgram } from "../../cli/terminal/arguments.ts";
import { split } from "../../cli/data.ts";
import { graftProgram } from "../../cli/program.ts";
import { oneLine } from "../../cli/terminal/one_line.ts";
import { shellWord, showBytes, showSeconds, table } from "../../cli/terminal/output.ts";
import { temporaryFolder, tinyData, tinyDialogues, tinyModel } from "./tiny.ts";
import { hearStreams } from "../support/standard_streams.ts";

/** Runs a command in this process: its exit code and its complaint. */
async function run(args: readonly string[]): Promise<{ readonly code: number; readonly said: string }> {
  let said = "";
  const code = await runProgram(graftProgram(), args, (error) => said = oneLine(error));
  return { code, said };
}

Deno.test("graft says what is wrong with arguments and ends with code 2", async () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    [
      "finetune --method foo",
      /^graft: The method "foo" is not known \(graft methods lists all\)$/,
    ],
    ["finetune --options [1]", /Expected a JSON object such as '\{"rank": 4\}' but found "\[1\]"/],
    ["finetune --rank 0", /Expected an integer from 1 but found "0"/],
    ["finetune --rank 2.5", /Expected an integer from 1 but found "2.5"/],
    ["finetune --dropout 1", /Expected a number from 0 below 1 but found "1"/],
    ["finetune --bogus", /Unknown option '--bogus'/],
    ["finetun", /Unknown command 'finetun'.*finetune/],
    ["finetune", /Expected --data/],
    ["finetune -d x -o y --config z", /Expected --plan with --config/],
    ["finetune -m x -d x -o /nowhere/y --method ia3 --rank 2", /Cannot use --rank with --method ia3/],
    [
      "finetune -m x -d x -o /nowhere/y --method houlsby --rank 2",
      /Cannot use --rank with --method houlsby: it has --bottleneck/,
    ],
    [
      "finetune -m x -d x -o /nowhere/y --method full --targets q_proj",
      /Cannot use --targets with --method full/,
    ],
    [
      "finetune -d x -d y",
      /'-d, --data <path\|id>' argument 'y' is invalid. Expected one but found "x" and "y"/,
    ],
    ["generate -a one -a two", /Expected one but found "one" and "two"/],
    [
      "finetune -d x -o ",
      /'-o, --output <folder>' argument '' is invalid. Expected a path but found nothing/,
    ],
    ["help finetun", /^graft: Unknown command 'finetun'$/],
    ["evaluate", /Expected --data/],
    ["generate --system x --prompt y", /Expected --chat with --system/],
    ["generate --top-p 1.5", /Expected a number above 0 to 1 but found "1.5"/],
  ];
  for (const [line, complaint] of cases) {
    const { code, said } = await run(line.split(" "));
    assert.match(said, complaint, line);
    assert.match(said, /^graft: [^\n]+$/, line);
    assert.equal(code, 2, line);
  }
});

Deno.test("graft refuses a pipe as data without waiting for who writes into it", async () => {
  if (Deno.build.os === "windows") return; // it has no named pipes in folders
  using folder = temporaryFolder();
  const model = tinyModel(folder.path);
  const pipe = `${folder.path}/pipe`;
  assert.ok((await new Deno.Command("mkfifo", { args: [pipe] }).output()).success);
  for (const command of ["finetune", "evaluate", "sweep"]) {
    // Ends the wait of a reader, which then finds nothing in it.
    const patience = setTimeout(() => Deno.openSync(pipe, { read: true, write: true }).close(), 3000);
    const output = command === "evaluate" ? [] : ["-o", `${folder.path}/${command}`];
    const vary = command === "sweep" ? ["--grid", "rank=1,2"] : [];
    const args = [command, "-m", model, "-d", pipe, ...output, ...vary, "--backend", "reference"];
    const { code, said } = await run(args);
    clearTimeout(patience);
    assert.match(said, /^graft: Cannot read .*pipe in any order: it is a pipe or a device/, command);
    assert.equal(code, 1);
  }
});

Deno.test("graft finetune names the file, line, layer or option that is bad, and creates nothing", async () => {
  using folder = temporaryFolder();
  const { path } = folder;
  const [model, data] = [tinyModel(path), tinyData(path)];
  const dialogues = tinyDialogues(path);
  const file = (name: string, text: string): string => {
    Deno.writeTextFileSync(`${path}/${name}`, text);
    return `${path}/${name}`;
  };
  const good = '{"prompt": "a", "completion": "b"}\n';
  const noTokenizer = `${path}/bare`;
  Deno.mkdirSync(noTokenizer);
  for (const name of ["config.json", "model.safetensors"]) {
    Deno.copyFileSync(`${model}/${name}`, `${noTokenizer}/${name}`);
  }
  const broken = `${path}/broken`;
  Deno.mkdirSync(broken);
  Deno.copyFileSync(`${model}/config.json`, `${broken}/config.json`);
  Deno.writeFileSync(
    `${broken}/model.safetensors`,
    Deno.readFileSync(`${model}/model.safetensors`).subarray(0, 9000),
  );
  const pattern = (text: string): RegExp => new RegExp(text);
  const cases: readonly (readonly [model: string, data: string, more: string, complaint: RegExp])[] = [
    [model, file("bad.jsonl", `${good}{"prompt": "a", oops}\n`), "", /bad\.jsonl line 2: malformed JSON/],
    [model, file("list.jsonl", `${good}\n[1]\n`), "", /list\.jsonl line 3: expected a JSON object/],
    [
      model,
      file("field.jsonl", `${good}{"prompt": "a"}\n`),
      "",
      /field\.jsonl line 2: field "completion" is missing/,
    ],
    [model, file("empty.jsonl", "\n\n"), "", /empty\.jsonl: it has no records/],
    [model, file("void.jsonl", ""), "", /void\.jsonl: it has no records/],
    [model, `${path}/none.jsonl`, "", /none\.jsonl/],
    [model, data, "--targets q_proj,k_prj", /"k_prj" matches no layer of the model: there are .*q_proj/],
    [
      model,
      data,
      "--max-length 65",
      /Expected --max-length of at most 64, the model's context, but found 65/,
    ],
    [
      model,
      data,
      "--max-length 16 --long-prompts refuse",
      pattern(`data\\.jsonl line \\d+: .*16 that a row may have`),
    ],
    [model, data, "--max-length 6", /data\.jsonl line 1: the answer .*6/],
    [model, data, "--held-out 12", /Cannot hold out 12 of 12 examples/],
    [model, dialogues, "--max-length 40", /dialogues\.jsonl line 1: .*leave no room/],
    [`${path}/nothing`, data, "", /there is no such file or folder/],
    [noTokenizer, data, "", /bare.* has no tokenizer/],
    [broken, data, "", /broken\/model\.safetensors/],
  ];
  const output = `${path}/out`;
  for (const [from, examples, more, complaint] of cases) {
    const args = ["finetune", "-m", from, "-d", examples, "-o", output, "--threads", "1"];
    const { code, said } = await run([...args, ...more.split(" ").filter((word) => word !== "")]);
    assert.match(said, complaint);
    assert.match(said, /^graft: [^\n]+$/);
    assert.notEqual(code, 0, said);
    assert.equal([...Deno.readDirSync(path)].some(({ name }) => name.startsWith("out")), false, said);
  }
});

Deno.test("a config that is none, and a file in the place of an adapter, are named as what they are", async () => {
  using folder = temporaryFolder();
  const { path } = folder;
  const config = `${path}/config.json`;
  const model = tinyModel(path);
  const cases: readonly (readonly [text: string, complaint: RegExp])[] = [
    ["{oops", /config\.json/],
    ["[1]", /Cannot read .*config\.json: it is not a JSON object/],
    ["{}", /Cannot run a config without model_type: known are llama/],
    ['{"model_type": "mamba"}', /Cannot run model_type "mamba": known are llama/],
  ];
  for (const [text, complaint] of cases) {
    Deno.writeTextFileSync(config, text);
    for (const command of ["methods", "finetune --plan"]) {
      const { code, said } = await run([...command.split(" "), "--config", config]);
      assert.match(said, complaint, command);
      assert.equal(code, 1);
    }
  }
  for (const file of [config, `${model}/model.safetensors`]) {
    const { code, said } = await run([
      "generate",
      "-m",
      model,
      "--backend",
      "reference",
      "-a",
      file,
      "-p",
      "a",
    ]);
    assert.match(said, /Cannot load an adapter from ".*": it is a file; give the folder that holds it/);
    assert.equal(code, 1);
  }
});

Deno.test("graft finetune --plan answers for 65 billion parameters from a config alone", async () => {
  using folder = temporaryFolder();
  const config = `${folder.path}/config.json`;
  Deno.writeTextFileSync(
    config,
    JSON.stringify({
      model_type: "llama",
      hidden_size: 8192,
      intermediate_size: 22016,
      num_hidden_layers: 80,
      num_attention_heads: 64,
      vocab_size: 32000,
      max_position_embeddings: 2048,
      torch_dtype: "float16",
    }),
  );
  const planned = async (...more: readonly string[]): Promise<Record<string, number | boolean>> => {
    const lines: string[] = [];
    using _ = hearStreams((chunk) => lines.push(chunk), undefined);
    const { code, said } = await run(["finetune", "--plan", "--config", config, "--json", ...more]);
    assert.equal(code, 0, said);
    return JSON.parse(lines.join(""));
  };
  const plan = await planned(
    ...["--method", "qlora", "--rank", "64", "--batch-size", "1", "--accumulate", "1", "--max-length", "512"],
    ...["--checkpoint-blocks", "--memory", "48GB"],
  );
  assert.equal(plan["fits"], true);
  const total = Number(plan["total"]);
  assert.ok(total > 40e9 && total < 48e9, String(total));
  // Norms are f32 whatever is said of the matrices.
  const short = ["--method", "ia3", "--batch-size", "1", "--max-length", "32"];
  const [half, full] = [await planned(...short), await planned(...short, "--dtype", "f32")];
  const norms = 4 * 8192 * (2 * 80 + 1);
  assert.equal(Number(full["weights"]) - norms, 2 * (Number(half["weights"]) - norms));
});

Deno.test("help of every command fits a screen and shows an example", () => {
  for (const command of graftProgram().commands) {
    let text = "";
    command.configureOutput({ writeOut: (chunk) => text += chunk });
    command.outputHelp();
    const lines = text.trimEnd().split("\n");
    assert.ok(lines.length <= 45, `${command.name()} has ${lines.length} lines`);
    assert.ok(lines.every((line) => line.length <= 120), command.name());
    assert.match(text, /\nExample/, command.name());
  }
});

Deno.test("runProgram() gives 0 for help, 1 for errors, 2 for misuse", async () => {
  const program = () => {
    const made = newProgram("p", "d", "1.0").configureOutput({ writeOut: () => {}, outputError: () => {} });
    made.command("fail").action(() => {
      throw new RangeError("two\n lines");
    });
    return made;
  };
  const codeOf = (args: readonly string[]) => runProgram(program(), args, () => {});
  assert.deepEqual(
    [
      await codeOf(["--help"]),
      await codeOf(["--version"]),
      await codeOf(["fail"]),
      await codeOf(["fail", "x"]),
    ],
    [0, 0, 1, 2],
  );
  assert.equal(oneLine(new RangeError("two\n lines")), "graft: two; lines");
  const cut = new TypeError("cut it to ({ rank: 8 } or { error: 0.01 }), or pass { requantize: true } to");
  assert.equal(oneLine(cut), "graft: cut it to (--rank 8 or --error 0.01), or give --requantize to");
  assert.equal(oneLine(new Error("try { threads: 1 }")), "graft: try --threads 1");
  assert.equal(oneLine(new Error('found { a: 1 } and {"b": 2}')), 'graft: found { a: 1 } and {"b": 2}');
  assert.equal(oneLine(new SyntaxError("token '\0', \x1b[2J")), "graft: token '\\x00', \\x1b[2J");
  const missing = await readFile("/nowhere/at all", "utf8").catch((error: unknown) => oneLine(error));
  assert.match(missing, /^graft: Cannot \w+ \/nowhere\/at all: [^(]+$/);
});

Deno.test("option readers take what they say", () => {
  assert.deepEqual(["48GB", "512 MiB", "1e3", "2k"].map(bytes), [48e9, 2 ** 29, 1000, 2000]);
  for (const bad of ["", "GB", "-1", "1.2.3", "5 apples"]) {
    assert.throws(() => bytes(bad), { message: /size/ }, bad);
  }
  assert.equal(integer(0)("0"), 0);
  for (const bad of ["", " ", "1.5", "-1", "x", "1e400"]) assert.throws(() => integer(0)(bad), bad);
  assert.equal(number({ above: 0 })("2e-4"), 2e-4);
  for (const bad of ["", "0", "NaN", "Infinity"]) assert.throws(() => number({ above: 0 })(bad), bad);
});

Deno.test("split() is a function of count and seed, and takes shares", () => {
  const { train, heldOut } = split(10, 3, 0);
  assert.equal(heldOut.length, 3);
  assert.deepEqual([...train, ...heldOut].sort((a, b) => a - b), Array.from({ length: 10 }, (_, i) => i));
  assert.deepEqual(split(10, 0.3, 0), { train, heldOut });
  assert.notDeepEqual(split(10, 3, 1).heldOut, heldOut);
  assert.deepEqual(split(3, 0.1, 0).heldOut, []);
  assert.throws(() => split(3, 1.5, 0), RangeError);
});

Deno.test("sizes, times and tables are shown as people read them", () => {
  assert.deepEqual([999, 1000, 1_250_000, 44.1e9].map(showBytes), ["999 B", "1.00 kB", "1.25 MB", "44.1 GB"]);
  assert.deepEqual([4.4, 200, 7500].map(showSeconds), ["4 s", "3 min 20 s", "2 h 5 min"]);
  assert.equal(table([["a", "bb"], ["ccc", "1"]]), "a    bb\nccc   1");
});

Deno.test("shellWord() gives words that a shell reads back as they were", async () => {
  const words = ["-d", "a b/ü 漢.jsonl", "it's", '{"rank": 4}', "$HOME", "", "*", "a=b", "two\nlines"];
  const line = `printf '%s\\0' ${words.map(shellWord).join(" ")}`;
  const { stdout } = await new Deno.Command("sh", { args: ["-c", line] }).output();
  assert.deepEqual(new TextDecoder().decode(stdout).split("\0").slice(0, -1), words);
  assert.equal(shellWord("--learning-rate"), "--learning-rate");
});

Deno.test("graft generate names the tokenizer's field that is bad, or the ids it lacks", async () => {
  using folder = temporaryFolder();
  const model = tinyModel(folder.path);
  const file = `${model}/tokenizer.json`;
  const json = JSON.parse(Deno.readTextFileSync(file));
  const generate = async (fields: Record<string, unknown>): Promise<string> => {
    Deno.writeTextFileSync(file, JSON.stringify({ ...json, model: { ...json.model, ...fields } }));
    const { code, said } = await run([
      "generate",
      "-m",
      model,
      "-p",
      "a b",
      "--max-new-tokens",
      "40",
      "--json",
    ]);
    assert.equal(code, 1, said);
    return said;
  };
  assert.match(
    await generate({ merges: [["a", "x!"]] }),
    /model\/tokenizer\.json: expected model\.merges\[0\] to be/,
  );
  assert.match(await generate({ vocab: {} }), /model\/tokenizer\.json: expected model\.vocab to be/);
  const few = Object.fromEntries(Object.entries(json.model.vocab).slice(0, 8));
  assert.match(
    await generate({ vocab: few }),
    /Cannot write the id \d+ .*: model\.vocab of the tokenizer of .*\/model ends at 7, the model's embedding at 36/,
  );
});
