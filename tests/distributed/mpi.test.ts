/**
 * `mpirun -n 2 graft finetune …` with the MPI of this machine: the bits of one process, agreement before the first step, and an
 * end to all when one is killed. Ignored, and reported so, where no MPI is installed.
 */
import assert from "node:assert/strict";
import { graft, graftArguments, tinyData, tinyModel } from "../cli/tiny.ts";
import { inFolder } from "../support/folder.ts";
import { gpuTest } from "../support/gpu.ts";
import {
  allEnded,
  appears,
  digest,
  ENVIRONMENT,
  launch,
  launched,
  LAUNCHERS,
  processesOf,
  ranOf,
} from "./mpirun.ts";

/** Four chunks per step: two rows in each of four micro-batches. */
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

  Deno.test(`${launcher[0]}: more processes than chunks of a step are refused`, () =>
    inFolder(async (folder) => {
      const [model, data] = [tinyModel(folder), tinyData(folder)];
      const ran = await launched(launcher, 2, [
        ...["finetune", "-m", model, "-d", data, "-o", `${folder}/out`, "--accumulate", "1"],
      ]);
      assert.notEqual(ran.code, 0);
      assert.match(ran.err, /Cannot share the work out to 2 processes: a step has 1 chunk .*--accumulate/);
    }));

  Deno.test(`${launcher[0]}: a killed process ends all, and the run goes on with another number of them`, () =>
    inFolder(async (folder) => {
      const [model, data] = [tinyModel(folder), tinyData(folder, 20)];
      const args = (output: string) => [
        ...["finetune", "-m", model, "-d", data, "-o", output, "--epochs", "80", ...RUN, "--save-every", "2"],
      ];
      const whole = await graft(args(`${folder}/whole`));
      assert.equal(whole.code, 0, whole.err);
      const output = `${folder}/killed`;
      const child = launch(launcher, 2, args(output));
      const ended = child.output();
      const state = `${output}/checkpoint/state.safetensors`;
      await appears(state);
      const [victim] = processesOf(output, launcher);
      assert.ok(victim !== undefined, "no process of the run was found");
      Deno.kill(victim, "SIGKILL");
      const { success } = await ended;
      assert.equal(success, false);
      await allEnded(output, launcher);
      const again = await launched(launcher, 3, ["finetune", "--resume", "-o", output]);
      assert.equal(again.code, 0, again.err);
      assert.match(again.err, /from step \d+/);
      assert.equal(digest(output), digest(`${folder}/whole`));
    }));

  Deno.test(`${launcher[0]}: Ctrl-C ends all after a checkpoint, from which one process goes on`, () =>
    inFolder(async (folder) => {
      const [model, data] = [tinyModel(folder), tinyData(folder, 20)];
      const args = (output: string) => [
        ...["finetune", "-m", model, "-d", data, "-o", output, "--epochs", "80", ...RUN, "--save-every", "2"],
      ];
      const whole = await graft(args(`${folder}/whole`));
      assert.equal(whole.code, 0, whole.err);
      const output = `${folder}/stopped`;
      const child = launch(launcher, 2, args(output));
      const ended = child.output();
      await appears(`${output}/checkpoint/state.safetensors`);
      // The launcher hears it and tells its processes: MPICH's passes it on, Open MPI's sends SIGTERM.
      child.kill("SIGINT");
      const { err } = ranOf(await ended);
      assert.equal(err.match(/Interrupted after step \d+/g)?.length, 1, err);
      await allEnded(output, launcher);
      const again = await graft(["finetune", "--resume", "-o", output]);
      assert.equal(again.code, 0, again.err);
      assert.equal(digest(output), digest(`${folder}/whole`));
    }));

  Deno.test(`${launcher[0]}: --plan says once what each process needs`, () =>
    inFolder(async (folder) => {
      const args = ["finetune", "-m", tinyModel(folder), "--plan"];
      const alone = await graft(args);
      const ran = await launched(launcher, 2, args);
      assert.equal(ran.code, 0, ran.err);
      // The table of memory is that of one process; the time is told of one alone.
      const memory = (out: string): string => out.slice(0, out.indexOf("Time"));
      assert.match(memory(alone.out), /^total +[\d.]+ kB$/m);
      assert.ok(ran.out.startsWith(memory(alone.out)), ran.out);
      assert.equal(ran.out.match(/^total /gm)?.length, 1, ran.out);
      assert.match(ran.out, /^Each of the 2 processes needs this, [\d.]+ MB on one machine\n/m);
    }));

  Deno.test(`${launcher[0]}: a full disk ends all with one line, and the run goes on when there is room`, () =>
    inFolder(async (folder) => {
      const [model, data] = [tinyModel(folder), tinyData(folder, 20)];
      const args = (output: string) => [
        ...["finetune", "-m", model, "-d", data, "-o", output, "--epochs", "80", ...RUN, "--save-every", "2"],
        ...["--rank", "8"],
      ];
      const whole = await graft(args(`${folder}/whole`));
      assert.equal(whole.code, 0, whole.err);
      const output = `${folder}/full`;
      // A limit on file sizes stands in for the full disk, set once the library has its shared memory. Rank 0 alone writes there.
      const script = `${folder}/run.sh`;
      Deno.writeTextFileSync(script, `trap '' XFSZ; exec "$@"\n`);
      const [command, ...more] = launcher;
      const child = new Deno.Command(command, {
        args: [...more, "-n", "2", "bash", script, Deno.execPath(), ...graftArguments(args(output))],
        env: ENVIRONMENT,
        stdin: "null",
        stdout: "piped",
        stderr: "piped",
      }).spawn();
      const ended = child.output();
      await appears(`${output}/checkpoint/state.safetensors`);
      for (const id of processesOf(output, launcher)) {
        new Deno.Command("prlimit", { args: ["--fsize=8192", "--pid", String(id)] }).outputSync();
      }
      const ran = ranOf(await ended);
      assert.notEqual(ran.code, 0);
      assert.equal(ran.err.match(/graft: Cannot write .*/g)?.length, 1, ran.err);
      await allEnded(output, launcher);
      const again = await launched(launcher, 2, [...args(output), "--resume"]);
      assert.equal(again.code, 0, again.err);
      assert.equal(digest(output), digest(`${folder}/whole`));
    }));
}

// What each of these does between steps, or before them, on its own: stages, a quantized base, rows before those of the text.
for (const method of LAUNCHERS.length === 0 ? [] : ["qlora", "prefix", "lt-sft", "adalora"]) {
  Deno.test(`two processes of mpirun train ${method} to the bits of one`, () =>
    inFolder(async (folder) => {
      const [model, data] = [tinyModel(folder), tinyData(folder, 20)];
      const args = (output: string) => [
        ...["finetune", "-m", model, "-d", data, "-o", output, "--method", method, "--epochs", "2"],
        ...["--batch-size", "2", "--accumulate", "4", "--held-out", "3", "--eval-every", "2"],
      ];
      const one = await graft(args(`${folder}/one`));
      assert.equal(one.code, 0, one.err);
      const two = await launched(LAUNCHERS[0]!, 2, args(`${folder}/two`));
      assert.equal(two.code, 0, two.err);
      assert.equal(digest(`${folder}/two`), digest(`${folder}/one`));
    }));
}

for (const launcher of LAUNCHERS.slice(0, 1)) {
  gpuTest("two processes of mpirun train on the GPU to the bits of one", () =>
    inFolder(async (folder) => {
      const [model, data] = [tinyModel(folder), tinyData(folder)];
      const args = (output: string) => [
        ...[
          "finetune",
          "-m",
          model,
          "-d",
          data,
          "-o",
          output,
          ...RUN,
          "--max-steps",
          "3",
          "--backend",
          "gpu",
        ],
      ];
      const one = await graft(args(`${folder}/one`));
      assert.equal(one.code, 0, one.err);
      const two = await launched(launcher, 2, args(`${folder}/two`));
      assert.equal(two.code, 0, two.err);
      assert.equal(digest(`${folder}/two`), digest(`${folder}/one`));
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
