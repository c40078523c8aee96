/**
 * `mpirun -n 2 graft finetune …` with the MPI of this machine: the bits of one process, agreement before the first step, and an
 * end to all when one is killed. Ignored, and reported so, where no MPI is installed.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { graft, graftArguments, type Ran, tinyData, tinyModel } from "../cli/tiny.ts";
import { inFolder } from "../support/folder.ts";

/** Launchers of this machine, and how they are asked for more processes than cores. */
const LAUNCHERS: readonly (readonly [command: string, ...more: string[]])[] = [
  ["mpirun.openmpi", "--allow-run-as-root", "--oversubscribe"],
  ["mpirun.mpich"],
].filter(([command]) => isInstalled(command!)) as [string, ...string[]][];

function isInstalled(command: string): boolean {
  try {
    return new Deno.Command(command, { args: ["--version"], stdout: "null", stderr: "null" }).outputSync()
      .success;
  } catch {
    return false;
  }
}

const ENVIRONMENT = { GRAFT_BACKEND: "wasm" };

/** Starts n processes of graft. */
function launch([command, ...more]: readonly [string, ...string[]], n: number, args: readonly string[]) {
  return new Deno.Command(command, {
    args: [...more, "-n", String(n), Deno.execPath(), ...graftArguments(args)],
    env: ENVIRONMENT,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

async function launched(
  launcher: readonly [string, ...string[]],
  n: number,
  args: readonly string[],
): Promise<Ran> {
  const { code, stdout, stderr } = await launch(launcher, n, args).output();
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)) as [string, string];
  return { code, out, err };
}

const digest = (folder: string): string =>
  createHash("sha256").update(Deno.readFileSync(`${folder}/adapter_model.safetensors`)).digest("hex");

/** Four pieces a step: two rows in each of four micro-batches. */
const RUN = ["--batch-size", "2", "--accumulate", "4", "--held-out", "3", "--eval-every", "2", "--rank", "2"];

for (const launcher of LAUNCHERS) {
  Deno.test(`${launcher[0]}: two processes train the bits of one, and rank 0 alone speaks and writes`, () =>
    inFolder(async (folder) => {
      const [model, data] = [tinyModel(folder), tinyData(folder, 20)];
      const args = (
        output: string,
      ) => ["finetune", "-m", model, "-d", data, "-o", output, "--epochs", "2", ...RUN];
      const one = await graft(args(`${folder}/one`));
      assert.equal(one.code, 0, one.err);
      const two = await launched(launcher, 2, args(`${folder}/two`));
      assert.equal(two.code, 0, two.err);
      assert.equal(digest(`${folder}/two`), digest(`${folder}/one`));
      assert.match(two.err, /Training in 2 processes by (Open MPI|MPICH)/);
      assert.equal(two.err.match(/Training [\d,]+ of/g)?.length, 1, two.err);
      const losses = (text: string) => [...text.matchAll(/held-out loss [\d.]+/g)].map(([found]) => found);
      assert.deepEqual(losses(two.err), losses(one.err));
      assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name).sort(), [
        "data.jsonl",
        "model",
        "one",
        "two",
      ]);
    }));

  Deno.test(`${launcher[0]}: processes with other data are refused by name before the first step`, () =>
    inFolder(async (folder) => {
      const model = tinyModel(folder);
      for (const [rank, count] of [[0, 20], [1, 21]] as const) {
        Deno.mkdirSync(`${folder}/${rank}`);
        tinyData(`${folder}/${rank}`, count);
      }
      // Each process reads the file of its own rank.
      const rank = launcher[0] === "mpirun.mpich" ? "PMI_RANK" : "OMPI_COMM_WORLD_RANK";
      const script = `${folder}/run.sh`;
      Deno.writeTextFileSync(script, `cd ${folder}/$${rank} && exec "$@"\n`);
      const [command, ...more] = launcher;
      const { code, stderr } = await new Deno.Command(command, {
        args: [
          ...[...more, "-n", "2", "sh", script, Deno.execPath()],
          ...graftArguments(["finetune", "-m", model, "-d", "data.jsonl", "-o", `${folder}/out`, ...RUN]),
        ],
        env: ENVIRONMENT,
        stdout: "null",
        stderr: "piped",
      }).output();
      const said = new TextDecoder().decode(stderr);
      assert.notEqual(code, 0);
      assert.match(
        said,
        /graft: Cannot train together: --data \(SHA-256\) of process 1 is \w+, and \w+ of process 0/,
      );
      assert.throws(() => Deno.statSync(`${folder}/out`), Deno.errors.NotFound);
    }));

  Deno.test(`${launcher[0]}: more processes than pieces of a step are refused`, () =>
    inFolder(async (folder) => {
      const [model, data] = [tinyModel(folder), tinyData(folder)];
      const ran = await launched(launcher, 2, [
        ...["finetune", "-m", model, "-d", data, "-o", `${folder}/out`, "--accumulate", "1"],
      ]);
      assert.notEqual(ran.code, 0);
      assert.match(ran.err, /Cannot share the work out to 2 processes: a step has 1 piece .*--accumulate/);
    }));

  Deno.test(`${launcher[0]}: a killed process ends all, and the run goes on with another number of them`, () =>
    inFolder(async (folder) => {
      const [model, data] = [tinyModel(folder), tinyData(folder, 20)];
      const args = (output: string) => [
        ...["finetune", "-m", model, "-d", data, "-o", output, "--epochs", "12", ...RUN, "--save-every", "2"],
      ];
      const whole = await graft(args(`${folder}/whole`));
      assert.equal(whole.code, 0, whole.err);
      const output = `${folder}/killed`;
      const child = launch(launcher, 2, args(output));
      const ended = child.output();
      const state = `${output}/checkpoint/state.safetensors`;
      while (!isThere(state)) await new Promise((resolve) => setTimeout(resolve, 20));
      const [victim] = processesOf(output, launcher[0]);
      assert.ok(victim !== undefined, "no process of the run was found");
      const killed = performance.now();
      Deno.kill(victim, "SIGKILL");
      const { success } = await ended;
      assert.equal(success, false);
      while (processesOf(output, launcher[0]).length > 0) {
        assert.ok(performance.now() - killed < 10_000, "the others outlived it");
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      const again = await launched(launcher, 3, ["finetune", "--resume", "-o", output]);
      assert.equal(again.code, 0, again.err);
      assert.match(again.err, /from step \d+/);
      assert.equal(digest(output), digest(`${folder}/whole`));
    }));
}

Deno.test("--distributed mpi without a launcher says how to start", async () => {
  const ran = await graft(["finetune", "-m", "embedded", "-d", "none.jsonl", "--distributed", "mpi"]);
  assert.notEqual(ran.code, 0);
  assert.match(ran.err, /--distributed mpi needs a launcher: start with mpirun/);
});

if (LAUNCHERS.length === 0) {
  Deno.test({ name: "mpirun: no MPI is installed here", ignore: true, fn: () => {} });
}

function isThere(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

/** The ids of the processes that train into a folder, their launcher left out. */
function processesOf(output: string, launcher: string): readonly number[] {
  return [...Deno.readDirSync("/proc")].map(({ name }) => Number(name)).filter((id) => {
    if (!Number.isInteger(id)) return false;
    try {
      const words = Deno.readTextFileSync(`/proc/${id}/cmdline`).split("\0");
      return words.includes(output) && /deno/.test(words[0]!) && !words.includes(launcher);
    } catch {
      return false; // it has ended
    }
  });
}
