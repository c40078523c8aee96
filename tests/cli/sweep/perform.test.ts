/** Sweeps that several processes share: killed ones, disagreeing ones, and one table that is that of a single process. */
import assert from "node:assert/strict";
import { graftArguments, temporaryFolder, tinyData, tinyModel } from "../tiny.ts";

const QUICK = ["--backend", "reference", "--held-out", "2", "--accumulate", "1", "--schedule", "constant"];
const LONG = [...QUICK, "--max-steps", "30", "--save-every", "2", "--eval-every", "10"];

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

interface Started {
  readonly child: Deno.ChildProcess;
  readonly ended: Promise<Ran>;
}

/** Starts `graft sweep`, with none of the variables of launchers but those given. */
function start(args: readonly string[], env: Readonly<Record<string, string>> = {}): Started {
  const child = new Deno.Command(Deno.execPath(), {
    args: graftArguments(["sweep", ...args]),
    env: { NO_COLOR: "1", ...env },
    ...{ stdin: "null", stdout: "piped", stderr: "piped" },
  }).spawn();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  const ended = child.output().then(({ code, stdout, stderr }) => ({
    ...{ code, out: text(stdout), err: text(stderr) },
  }));
  return { child, ended };
}

const run = (args: readonly string[], env?: Readonly<Record<string, string>>): Promise<Ran> =>
  start(args, env).ended;

/** Waits until a run's log has more lines. */
async function logged(path: string, lines: number): Promise<void> {
  for (;; await new Promise((resolve) => setTimeout(resolve, 3))) {
    try {
      if (Deno.readTextFileSync(path).split("\n").length > lines) return;
    } catch {
      // Not there yet.
    }
  }
}

/** A table without its last column, the time that each run took. */
const timeless = (table: string, folder: string): string =>
  table.replaceAll(/ +(\d+ h )?(\d+ min )?\d+ s$| +time$/gm, "").replaceAll(folder, "FOLDER");

const begun = (err: string): readonly string[] =>
  [...err.matchAll(/^Run (\d+) of \d+:/gm)].map(([, number]) => number!);

const adapter = (folder: string): Uint8Array => Deno.readFileSync(`${folder}/adapter_model.safetensors`);

const pointsOf = (folder: string): readonly string[] =>
  [...Deno.readDirSync(`${folder}/runs`)].map(({ name }) => name).sort();

Deno.test("three processes, one of them killed in the middle of a point, end with a single process's table and bits", async () => {
  using folder = temporaryFolder();
  const [one, many] = [`${folder.path}/one`, `${folder.path}/many`];
  const args = ["-m", tinyModel(folder.path), "-d", tinyData(folder.path), ...LONG];
  const axes = ["--grid", "rank=1,2,3", "--grid", "learning-rate=0.001,0.01", "--seeds", "0,1"];
  const single = await run([...args, ...axes, "-o", one, "--shard", "off"]);
  assert.equal(single.code, 0, single.err);

  const shards = [1, 2, 3].map((k) => start([...args, ...axes, "-o", many, "--shard", `${k}/3`]));
  // The second point of the plan is the first of shard 2.
  await logged(`${many}/runs/rank=1_learning-rate=0.001_seed=1/metrics.jsonl`, 6);
  shards[1]!.child.kill("SIGKILL");
  const [first, killed, third] = await Promise.all(shards.map(({ ended }) => ended)) as [Ran, Ran, Ran];
  assert.deepEqual([first.code, killed.code, third.code], [0, 137, 0], first.err + third.err);

  const all = [first, killed, third].flatMap(({ err }) => begun(err)).sort((a, b) => Number(a) - Number(b));
  const expected = ["1", "2", ...Array.from({ length: 11 }, (_, i) => String(i + 2))];
  assert.deepEqual(all, expected, "only the killed point was begun twice");
  assert.ok(begun(first.err).includes("2") || begun(third.err).includes("2"), "another took it up");
  assert.match(first.err + third.err, /from step \d+/, "at its checkpoint");

  const tables = [first.out, third.out].filter((out) => out !== "");
  assert.equal(tables.length, 1, "told once");
  assert.equal(timeless(tables[0]!, many), timeless(single.out, one));
  assert.deepEqual(pointsOf(many), pointsOf(one));
  for (const point of pointsOf(one)) {
    assert.deepEqual(adapter(`${many}/runs/${point}`), adapter(`${one}/runs/${point}`), point);
    assert.deepEqual(
      [...Deno.readDirSync(`${many}/runs/${point}`)].filter(({ isDirectory }) => isDirectory),
      [],
    );
  }
  for (const { err } of [first, third]) {
    assert.match(err, /^This is shard \d of 3, by --shard: it begins with rank=/m);
    assert.match(err, /^This was shard \d of 3: it ran (rank=\S+(, )?)+\.$/m);
  }
  const table = await run([...args, ...axes, "-o", many, "--table"]);
  assert.deepEqual([table.code, table.out, begun(table.err)], [0, tables[0], []]);
  const again = await run([...args, ...axes, "-o", many, "--resume", "--shard", "off"]);
  assert.deepEqual([again.code, again.out, begun(again.err)], [0, tables[0], []]);
});

Deno.test("tasks of an array and ranks of a launcher share by themselves; a shard that is not there is named", async () => {
  using folder = temporaryFolder();
  const args = ["-m", tinyModel(folder.path), "-d", tinyData(folder.path), ...QUICK, "--max-steps", "2"];
  const axes = ["--grid", "learning-rate=0.001,0.01,0.1,0.2"];
  const task = (id: number) => ({
    SLURM_ARRAY_TASK_ID: String(id),
    ...{ SLURM_ARRAY_TASK_MIN: "0", SLURM_ARRAY_TASK_MAX: "1", SLURM_ARRAY_TASK_COUNT: "2" },
  });
  const output = `${folder.path}/array`;
  const early = await run([...args, ...axes, "-o", output], task(1));
  assert.equal(early.code, 0, early.err);
  assert.match(early.err, /^This is shard 2 of 2, by SLURM_ARRAY_TASK_ID: .*; --shard off runs all points$/m);
  assert.deepEqual([begun(early.err), early.out], [["2", "4"], ""], "what nobody began is another's still");
  assert.match(early.err, /Nobody has begun learning-rate=0.001_seed=0, learning-rate=0.1_seed=0\./);
  assert.match(early.err, /Shard 1 of 2 was never seen in .*array: not started yet, or writing elsewhere/);
  const part = await run([...args, ...axes, "-o", output, "--table"]);
  assert.equal(part.code, 1);
  assert.equal(part.out.trimEnd().split("\n").length, 4, "a heading, two rows, the best");
  assert.match(part.err, /Not finished in .*: learning-rate=0.001_seed=0, learning-rate=0.1_seed=0/);
  assert.match(part.err, /Shard 1 of 2 was never seen/);
  const late = await run([...args, ...axes, "-o", output], task(0));
  assert.deepEqual([late.code, begun(late.err)], [0, ["1", "3"]]);
  assert.equal(late.out.trimEnd().split("\n").length, 6);
  const requeued = await run([...args, ...axes, "-o", output], task(0));
  assert.deepEqual([requeued.code, begun(requeued.err), requeued.out], [0, [], ""], "told already");

  const ranks = await Promise.all(
    ["0", "1"].map((rank) =>
      run([...args, ...axes, "-o", `${folder.path}/ranks`], { PMI_RANK: rank, PMI_SIZE: "2" })
    ),
  );
  assert.deepEqual(ranks.map(({ code }) => code), [0, 0], ranks.map(({ err }) => err).join());
  assert.deepEqual(ranks.flatMap(({ err }) => begun(err)).sort(), ["1", "2", "3", "4"]);
  assert.equal(ranks.filter(({ out }) => out !== "").length, 1);
});

Deno.test("other options in a shared folder are refused by name, and so is nonsense", async () => {
  using folder = temporaryFolder();
  const data = tinyData(folder.path);
  const args = ["-m", tinyModel(folder.path), "-d", data, ...QUICK, "--max-steps", "2"];
  const output = ["-o", `${folder.path}/out`];
  const axes = ["--grid", "learning-rate=0.001,0.01,0.1"];
  const first = await run([...args, ...axes, ...output, "--shard", "1/2"]);
  assert.equal(first.code, 0, first.err);
  const cases: readonly (readonly [args: readonly string[], complaint: RegExp])[] = [
    [[...args, ...axes, "--warmup", "2"], /Cannot share .*out: --warmup is 0.03 there and 2 here/],
    [
      [...args, "--grid", "learning-rate=0.001,0.02"],
      /Cannot share .*out: --grid is \[.*\] there and \[.*\] here/,
    ],
    [[...args, ...axes, "--seeds", "0,1"], /Cannot share .*out: --seeds is/],
  ];
  for (const [line, complaint] of cases) {
    const { code, err, out } = await run([...line, ...output, "--shard", "2/2"]);
    assert.deepEqual([code, out, begun(err)], [1, "", []]);
    assert.match(err, complaint);
  }
  Deno.writeTextFileSync(data, '{"prompt": "x", "completion": "y"}\n', { append: true });
  assert.match(
    (await run([...args, ...axes, ...output, "--shard", "2/2"])).err,
    /--data has other bytes than there/,
  );
  const nonsense = await run([...args, ...axes, ...output, "--shard", "3/2"]);
  assert.deepEqual([nonsense.code, /Expected a share such as 3\/16/.test(nonsense.err)], [2, true]);
});

Deno.test("an interrupted shard lets its point go at once, and the same command goes on", async () => {
  using folder = temporaryFolder();
  const args = [
    "-m",
    tinyModel(folder.path),
    "-d",
    tinyData(folder.path),
    ...LONG,
    "-o",
    `${folder.path}/out`,
  ];
  const line = [...args, "--grid", "learning-rate=0.001,0.01", "--shard", "1/1"];
  const cut = start(line);
  await logged(`${folder.path}/out/runs/learning-rate=0.001_seed=0/metrics.jsonl`, 6);
  cut.child.kill("SIGUSR1");
  const { code, err } = await cut.ended;
  assert.equal(code, 130, err);
  assert.match(err, /Interrupted in run 1 of 2; to go on, repeat the command$/m);
  const claim = Deno.readTextFileSync(`${folder.path}/out/sharing/claims/learning-rate=0.001_seed=0.0.json`);
  assert.equal(JSON.parse(claim).state, "released");
  const resumed = await run(line);
  assert.equal(resumed.code, 0, resumed.err);
  assert.match(resumed.err, /from step \d+/);
  assert.equal(resumed.out.trimEnd().split("\n").length, 4);
});

Deno.test("a point at fault is told by its shard, not tried by others, and tried again by the same command", async () => {
  using folder = temporaryFolder();
  const args = ["-m", tinyModel(folder.path), "-d", tinyData(folder.path), ...QUICK, "--max-steps", "2"];
  const line = [...args, "-o", `${folder.path}/out`, "--grid", "targets=k_prj|q_proj|v_proj"];
  const [first, second] = await Promise.all(["1/2", "2/2"].map((k) => run([...line, "--shard", k]))) as [
    Ran,
    Ran,
  ];
  assert.equal([first.err, second.err].join().match(/^Failed: .*k_prj/gm)?.length, 1);
  assert.deepEqual([first, second].map(({ err }) => begun(err)).flat().sort(), ["1", "2", "3"]);
  const told = [first, second].find(({ out }) => out !== "")!;
  assert.match(told.out, /k_prj +failed +–/);
  assert.equal(told.code, 1);
  const again = await run([...line, "--shard", "1/2"]);
  assert.deepEqual([begun(again.err), again.code], [["1"], 1]);
  const other = await run([...line, "--shard", "2/2"]);
  assert.deepEqual(begun(other.err), []);
});
