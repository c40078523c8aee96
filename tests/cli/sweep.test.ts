/** `graft sweep` on a tiny model: every combination once, killed sweeps that go on, one table by held-out loss. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { runProgram } from "../../cli/terminal/arguments.ts";
import { graftProgram } from "../../cli/program.ts";
import { oneLine } from "../../cli/terminal/one_line.ts";
import { axesOf, gridPoints, randomPoints } from "../../cli/sweep/points.ts";
import { runFolder } from "../../cli/sweep/runs.ts";
import { sorted, sweepTable } from "../../cli/sweep/table.ts";
import { loadedLoss } from "./in_process.ts";
import { graftArguments, temporaryFolder, tinyData, tinyModel } from "./tiny.ts";
import { hearStreams } from "../support/standard_streams.ts";

const QUICK = [
  "--backend",
  "reference",
  "--held-out",
  "2",
  "--max-steps",
  "3",
  "--accumulate",
  "1",
  "--schedule",
  "constant",
];

interface Run {
  readonly point: Readonly<Record<string, string>>;
  readonly seed: number;
  readonly folder: string;
  readonly result?: { readonly loss: number; readonly steps: number; readonly trainable: number };
  readonly error?: string;
}

/** Runs the command in this process: exit code, complaint, what it printed and noted. */
async function sweep(args: readonly string[]) {
  let [printed, noted, said] = ["", "", ""];
  using _ = hearStreams((chunk) => printed += chunk, (chunk) => noted += chunk);
  const code = await runProgram(graftProgram(), ["sweep", ...args], (error) => said = oneLine(error));
  return { code, said, printed, noted };
}

const runsOf = (printed: string): readonly Run[] => JSON.parse(printed).runs;

Deno.test("graft sweep trains every combination with every seed, and sorts them by the loss that their folders have", async () => {
  using folder = temporaryFolder();
  const [model, data, output] = [tinyModel(folder.path), tinyData(folder.path), `${folder.path}/sweep`];
  const args = ["-m", model, "-d", data, "-o", output, ...QUICK, "--keep", "last"];
  const axes = ["--grid", "rank=1,2", "--grid", "learning-rate=0.001,0.1", "--seeds", "0,3"];
  const first = await sweep([...args, ...axes, "--json"]);
  assert.equal(first.code, 0, first.said);
  const runs = runsOf(first.printed);
  const expected = ["1", "2"].flatMap((rank) =>
    ["0.001", "0.1"].flatMap((rate) =>
      [0, 3].map((seed) => `rank=${rank}_learning-rate=${rate}_seed=${seed}`)
    )
  );
  assert.deepEqual(runs.map(({ folder }) => folder.split("/").at(-1)).sort(), expected.sort());
  const losses = runs.map(({ result }) => result!.loss);
  assert.deepEqual(losses, [...losses].sort((a, b) => a - b));
  assert.equal(new Set(losses).size, 8, "each run is another");
  for (const run of [runs[0]!, runs[7]!]) {
    const loss = await loadedLoss(model, data, run.folder, 2);
    assert.ok(Math.abs(loss - run.result!.loss) < 1e-5, `${run.folder}: ${loss} and ${run.result!.loss}`);
    assert.deepEqual([run.result!.steps, run.result!.trainable % Number(run.point["rank"])], [3, 0]);
  }

  const changed = Deno.statSync(`${runs[0]!.folder}/adapter_model.safetensors`).mtime;
  const more = await sweep([
    ...args,
    "--resume",
    "--grid",
    "rank=1,2,3",
    "--grid",
    "learning-rate=0.1",
    "--seeds",
    "0",
  ]);
  assert.equal(more.code, 0, more.said);
  assert.equal(more.noted.match(/^Run \d of 3:/gm)?.length, 1, "what is finished is kept");
  assert.match(more.noted, /Run 3 of 3: rank 3, learning-rate 0.1, seed 0/);
  const lines = more.printed.trimEnd().split("\n");
  assert.match(lines[0]!, /^rank +learning-rate +held-out loss +steps +trained +memory +time$/);
  assert.equal(lines.length, 5);
  assert.deepEqual(Deno.statSync(`${runs[0]!.folder}/adapter_model.safetensors`).mtime, changed);

  const other = await sweep([...args, ...axes, "--resume", "--warmup", "2"]);
  assert.match(other.said, /Cannot continue the sweep: in .* --warmup was 0.03 and is 2 now/);
  Deno.writeTextFileSync(data, '{"prompt": "x", "completion": "y"}\n', { append: true });
  const bytes = await sweep([...args, ...axes, "--resume"]);
  assert.match(bytes.said, /--data has other bytes/);
});

Deno.test("a killed sweep goes on to the numbers of one that was not", async () => {
  using folder = temporaryFolder();
  const args = ["-m", tinyModel(folder.path), "-d", tinyData(folder.path), ...QUICK, "--max-steps", "30"];
  const axes = ["--grid", "learning-rate=0.001,0.01", "--save-every", "2", "--eval-every", "10"];
  const [whole, cut] = [`${folder.path}/whole`, `${folder.path}/cut`];
  const expected = await sweep([...args, ...axes, "-o", whole, "--json"]);
  assert.equal(expected.code, 0, expected.said);

  for (const [signal, run, code] of [["SIGKILL", "0.001", 137], ["SIGINT", "0.01", 130]] as const) {
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        ...graftArguments(["sweep", ...args, ...axes, "-o", cut, ...signal === "SIGINT" ? ["--resume"] : []]),
      ],
      ...{ stdin: "null", stdout: "null", stderr: "piped" },
    }).spawn();
    const output = child.output();
    const log = `${cut}/runs/learning-rate=${run}_seed=0/metrics.jsonl`;
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      try {
        if (Deno.readTextFileSync(log).split("\n").length > 6) break;
      } catch {
        // Not there yet.
      }
    }
    child.kill(signal);
    const { code: found, stderr } = await output;
    assert.equal(found, code, new TextDecoder().decode(stderr));
    if (signal === "SIGINT") {
      assert.match(
        new TextDecoder().decode(stderr),
        /Interrupted in run 2 of 2; to go on, repeat the command with --resume/,
      );
    }
  }
  const resumed = await sweep([...args, ...axes, "-o", cut, "--resume", "--json"]);
  assert.equal(resumed.code, 0, resumed.said);
  const numbers = (printed: string) =>
    runsOf(printed).map(({ point, result }) => [point, result!.loss, result!.steps]);
  assert.deepEqual(numbers(resumed.printed), numbers(expected.printed));
  const again = await sweep([...args, ...axes, "-o", cut, "--resume", "--json"]);
  assert.deepEqual(runsOf(again.printed), runsOf(resumed.printed));
  assert.equal(again.noted, "");
});

Deno.test("a run that fails does not end the others, and is tried again", async () => {
  using folder = temporaryFolder();
  const args = [
    "-m",
    tinyModel(folder.path),
    "-d",
    tinyData(folder.path),
    "-o",
    `${folder.path}/sweep`,
    ...QUICK,
  ];
  const found = await sweep([...args, "--grid", "targets=k_prj|q_proj,v_proj", "--json"]);
  assert.equal(found.code, 1);
  const runs = runsOf(found.printed);
  assert.deepEqual(runs.map(({ point }) => point["targets"]), ["q_proj,v_proj", "k_prj"]);
  assert.match(runs[1]!.error!, /"k_prj" matches no layer/);
  assert.match(found.noted, /Failed: .*k_prj/);
  const again = await sweep([...args, "--grid", "targets=k_prj|q_proj,v_proj", "--resume"]);
  assert.match(again.noted, /^Run 1 of 2: targets k_prj/m);
  assert.match(again.printed, /k_prj +failed +–/);
});

Deno.test("graft sweep says what is wrong before it creates anything", async () => {
  using folder = temporaryFolder();
  const [model, data] = [tinyModel(folder.path), tinyData(folder.path)];
  const cases: readonly (readonly [args: string, complaint: RegExp])[] = [
    ["", /Expected --grid, such as --grid rank=4,8, or several --seeds/],
    ["--grid rank", /Expected --grid <option>=<value>/],
    ["--grid rank=4,,8", /Expected --grid <option>=<value>/],
    ["--grid rank=4,4", /--grid rank lists "4" twice/],
    ["--grid rank=4 --grid rank=8", /Expected one --grid for rank but found two/],
    ["--grid rank=4,x", /--grid rank: Expected an integer from 1 but found "x"/],
    ["--grid rnk=4,8", /Cannot vary "rnk"/],
    ["--grid output=a,b", /Cannot vary "output"/],
    ["--grid seed=0,1", /Expected --seeds 0,1 instead/],
    ["--grid packing=yes,no", /Expected --grid packing=true,false but found "yes"/],
    ["--grid optimizer=adamw,adam", /--grid optimizer: Allowed choices are adamw/],
    ["--grid method=lora,foo", /The method "foo" is not known/],
    ["--grid rank=2..8", /is a range: say how many points to draw with --random/],
    ["--grid rank=8..2 --random 2", /Expected a range from a number above 0 to a larger one/],
    ["--grid rank=2,4 --random 0", /Expected an integer from 1 but found "0"/],
    ["--grid rank=2,4 --seeds 1,1", /Expected different seeds/],
    ["--grid rank=2,4 --seeds x", /Expected an integer from 0/],
    ["--grid rank=2,4 --method ia3", /Cannot use --rank with --method ia3/],
    ["--grid rank=2,4 --held-out 0", /Expected held-out examples to compare the runs by/],
  ];
  for (const [line, complaint] of cases) {
    const output = `${folder.path}/out`;
    const args = ["-m", model, "-d", data, "-o", output, ...line.split(" ").filter((word) => word !== "")];
    const { code, said } = await sweep(args);
    assert.match(said, complaint, line);
    assert.match(said, /^graft: [^\n]+$/);
    assert.equal(code, 2, said);
    assert.throws(() => Deno.statSync(output), Deno.errors.NotFound);
  }
  const there = await sweep(["-m", model, "-d", data, "-o", folder.path, "--grid", "rank=1,2"]);
  assert.match(there.said, /Cannot write to .*: it exists; give another folder, or --resume/);
  const none = await sweep(["-m", model, "-d", data, "-o", folder.path, "--grid", "rank=1,2", "--resume"]);
  assert.match(none.said, /Cannot resume .*: it holds no sweep/);
  const output = `${folder.path}/out`;
  const lost = await sweep([
    "-m",
    `${model}/no`,
    "-d",
    data,
    "-o",
    output,
    "--grid",
    "rank=1,2",
    "--seeds",
    "0,1",
  ]);
  assert.deepEqual([lost.code, lost.printed], [1, ""]);
  assert.match(lost.said, /there is no such file or folder/, "said once for all runs");
  const absent = await sweep(["-m", model, "-d", `${data}.no`, "-o", output, "--grid", "rank=1,2"]);
  assert.match(absent.said, /data\.jsonl\.no/);
  assert.throws(() => Deno.statSync(output), Deno.errors.NotFound);
});

Deno.test("a grid has every combination once; draws are distinct, inside, and begin the same for any count", () => {
  const names = fc.uniqueArray(fc.constantFrom("rank", "alpha", "epochs", "clip"), {
    minLength: 1,
    maxLength: 3,
  });
  const values = fc.uniqueArray(fc.integer({ min: 1, max: 99 }).map(String), { minLength: 1, maxLength: 4 });
  const lists = names.chain((names) => fc.tuple(...names.map((name) => fc.tuple(fc.constant(name), values))));
  fc.assert(fc.property(lists, fc.integer({ min: 1, max: 9 }), fc.nat(), (lists, count, seed) => {
    const axes = axesOf(lists.map(([name, values]) => `${name}=${values.join(",")}`));
    const all = gridPoints(axes).map((point) => JSON.stringify(point));
    assert.equal(all.length, lists.reduce((n, [, values]) => n * values.length, 1));
    assert.equal(new Set(all).size, all.length);
    const some = randomPoints(axes, count, seed).map((point) => JSON.stringify(point));
    assert.equal(new Set(some).size, some.length);
    assert.ok(some.every((point) => all.includes(point)));
    assert.deepEqual(
      randomPoints(axes, count + 3, seed).slice(0, some.length).map((p) => JSON.stringify(p)),
      some,
    );
  }));
  const drawn = randomPoints(axesOf(["rank=2..64", "learning-rate=1e-5..1e-3"]), 400, 7);
  const [ranks, rates] = [
    drawn.map(({ rank }) => Number(rank)),
    drawn.map((point) => Number(point["learning-rate"])),
  ];
  assert.ok(ranks.every((rank) => Number.isInteger(rank) && rank >= 2 && rank <= 64));
  assert.ok(rates.every((rate) => rate >= 1e-5 && rate <= 1e-3));
  // Even in the logarithm: half of 400 draws lie below the geometric mean; five deviations are 50.
  assert.ok(Math.abs(rates.filter((rate) => rate < 1e-4).length - 200) < 50);
  assert.ok(ranks.includes(2) && ranks.some((rank) => rank > 48));
});

Deno.test("folders of runs are named by their points, and differ where the points do", () => {
  assert.equal(runFolder("o", { rank: "4" }, 1), "o/runs/rank=4_seed=1");
  const points = ['{"a": 1}', "{'a': 1}", "_a_1", "x".repeat(200), `${"x".repeat(200)}y`, "a b", "a_b"];
  const folders = points.map((options) => runFolder("o", { options }, 0));
  assert.equal(new Set(folders).size, points.length);
  assert.ok(
    folders.every((folder) => /^o\/runs\/[A-Za-z0-9=.,+_-]{1,130}$/.test(folder)),
    folders.join("\n"),
  );
});

Deno.test("the table has the lowest loss first, means over seeds, and failures and divergence last", () => {
  const result = (loss: number) => ({ loss, steps: 2, seconds: 3, trainable: 1000, peak: 2e6 });
  const runs = [
    { point: { rank: "2" }, seed: 0, folder: "a", result: result(3) },
    { point: { rank: "4" }, seed: 0, folder: "b", error: "no" },
    { point: { rank: "2" }, seed: 1, folder: "c", result: result(1) },
    { point: { rank: "8" }, seed: 0, folder: "d", result: result(NaN) },
  ];
  assert.deepEqual(sorted(runs).map(({ folder }) => folder), ["c", "a", "d", "b"]);
  assert.equal(
    sweepTable(runs),
    [
      "rank  seed  held-out loss  mean of seeds  steps  trained   memory  time",
      "2        1         1.0000         2.0000      2    1,000  2.00 MB   3 s",
      "2        0         3.0000         2.0000      2    1,000  2.00 MB   3 s",
      "8        0            NaN            NaN      2    1,000  2.00 MB   3 s",
      "4        0         failed              –      –        –        –     –",
    ].join("\n"),
  );
});

Deno.test("graft sweep takes every objective, and ranks runs of different losses by how often they prefer what is chosen", async () => {
  using folder = temporaryFolder();
  const [model, data, output] = [
    tinyModel(folder.path),
    `${folder.path}/pairs.jsonl`,
    `${folder.path}/sweep`,
  ];
  const words = ["cat", "dog", "sun", "sea", "map", "tea"];
  const pairs = words.map((word, i) => ({
    prompt: `${word}:`,
    chosen: ` ${word}`,
    rejected: ` ${words[(i + 1) % 6]}`,
  }));
  Deno.writeTextFileSync(data, pairs.map((pair) => JSON.stringify(pair)).join("\n"));
  const args = [
    "-m",
    model,
    "-d",
    data,
    "-o",
    output,
    ...QUICK,
    "--learning-rate",
    "0.05",
    "--max-steps",
    "2",
  ];
  const done = await sweep([...args, "--grid", "objective=dpo,ipo,orpo,reward", "--json"]);
  assert.equal(done.code, 0, done.said);
  const runs: readonly { result: { loss: number; metrics: Record<string, number> }; folder: string }[] =
    JSON.parse(done.printed).runs;
  assert.equal(runs.length, 4);
  const accuracies = runs.map(({ result }) => result.metrics["rewards/accuracies"]!);
  assert.deepEqual(accuracies, accuracies.toSorted((a, b) => b - a));
  for (const { result, folder } of runs) {
    const log = Deno.readTextFileSync(`${folder}/metrics.jsonl`).trim().split("\n").map((line) =>
      JSON.parse(line)
    );
    const line = log.find(({ evalLoss }) => evalLoss === result.loss);
    assert.equal(line["rewards/margins"], result.metrics["rewards/margins"]);
  }
  const table = await sweep([...args, "--grid", "objective=dpo,ipo,orpo,reward", "--table"]);
  assert.match(table.printed, /^objective +held-out loss +accuracy +margin +steps/);
  const foreign = await sweep([...args.with(5, `${folder.path}/other`), "--grid", "beta=0.1,0.5"]);
  assert.match(foreign.said, /Expected --objective dpo with --beta but found sft/);
});

Deno.test("sorted() ranks by the loss unless an option changes what that is", () => {
  const run = (point: Record<string, string>, loss: number, accuracy?: number) => ({
    ...{ point, seed: 0, folder: "" },
    result: {
      ...{ loss, steps: 1, seconds: 1, trainable: 1, peak: 1 },
      ...accuracy !== undefined && { metrics: { "rewards/accuracies": accuracy } },
    },
  });
  const losses = (runs: Parameters<typeof sorted>[0]) => sorted(runs).map(({ result }) => result!.loss);
  assert.deepEqual(losses([run({ rank: "1" }, 2, 1), run({ rank: "2" }, 1, 0.5)]), [1, 2]);
  assert.deepEqual(losses([run({ beta: "1" }, 1, 0.5), run({ beta: "2" }, 2, 1)]), [2, 1]);
  assert.deepEqual(losses([run({ temperature: "1" }, 2), run({ temperature: "2" }, 1)]), [1, 2]);
});
