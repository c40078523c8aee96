/**
 * Tuning under a real Slurm, which runs on this machine alone: an array that shares a sweep, a job that is queued again, a
 * time limit that warns. `deno task test:cluster`; needs slurm-wlm, munge and mpich, as Debian has them, and root.
 */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { openTrainingState } from "../../io/training_state.ts";
import { temporaryFolder, tinyData, tinyModel } from "../cli/tiny.ts";

const HERE = fileURLToPath(new URL(".", import.meta.url)).replace(/\/$/, "");
const MAIN = fileURLToPath(new URL("../../cli/main.ts", import.meta.url));

/** Runs a program to its end; its standard output. */
async function output(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command(program, { args: [...args], env: { ...env } })
    .output();
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)) as [string, string];
  assert.equal(code, 0, `${program} ${args.join(" ")}: ${out}${err}`);
  return out.trim();
}

/** A Slurm of its own, ended when it is disposed. */
async function slurm() {
  const folder = temporaryFolder();
  const place = `${folder.path}/slurm`;
  const env = { SLURM_CONF: await output("bash", [`${HERE}/start.sh`, place]) };
  return {
    folder: folder.path,
    env,
    [Symbol.asyncDispose]: async () => {
      await output("bash", [`${HERE}/stop.sh`, place]);
      folder[Symbol.dispose]();
    },
  };
}

type Slurm = Awaited<ReturnType<typeof slurm>>;

/** Submits a script and returns the job's number. `graft` in it is this one. */
async function submit({ folder, env }: Slurm, name: string, script: string): Promise<string> {
  const [options, ...commands] = script.trim().split("\n\n");
  const text = `#!/bin/bash
#SBATCH --job-name=${name} --output=${folder}/${name}-%a.txt --open-mode=append
${options}

set -u
cd ${folder}
export NO_COLOR=1
${commands.join("\n\n")}
`;
  Deno.writeTextFileSync(`${folder}/${name}.sbatch`, text);
  return await output("sbatch", ["--parsable", `${folder}/${name}.sbatch`], {
    ...env,
    PATH: `${folder}/bin:${Deno.env.get("PATH")}`,
  });
}

/** Waits for something, at most a minute and a half. */
async function until<T>(what: string, found: () => Promise<T | undefined> | T | undefined): Promise<T> {
  for (const end = performance.now() + 90_000; performance.now() < end;) {
    const value = await found();
    if (value !== undefined) return value;
    await new Promise((done) => setTimeout(done, 100));
  }
  return assert.fail(`Waited in vain for ${what}`);
}

const jobState = async ({ env }: Slurm, job: string): Promise<string> =>
  /JobState=(\S+)/.exec(await output("scontrol", ["show", "job", job], env))![1]!;

/**
 * Waits until jobs have done well. One that was queued again Slurm would let wait for two minutes, and warn again; some
 * seconds are needed, for what is left of its first round to end.
 */
async function done(cluster: Slurm, jobs: readonly string[]): Promise<void> {
  let pending = Infinity;
  await until(`the end of ${jobs.join(", ")}`, async () => {
    const states = await Promise.all(jobs.map((job) => jobState(cluster, job)));
    const bad = states.find((state) => /FAILED|CANCELLED|TIMEOUT|NODE_FAIL/.test(state));
    if (bad !== undefined) {
      const texts = [...Deno.readDirSync(cluster.folder)].filter(({ name }) => name.endsWith(".txt"))
        .map(({ name }) => `${name}: ${textOf(`${cluster.folder}/${name}`)}`);
      throw new Error([`${bad} of ${jobs.join(", ")}`, ...texts].join("\n"));
    }
    const waiting = jobs.filter((_, i) => states[i] === "PENDING");
    pending = waiting.length === 0 ? Infinity : Math.min(pending, performance.now());
    for (const job of performance.now() - pending > 6000 ? waiting : []) {
      // Refused where it has just started.
      await output("scontrol", ["update", `JobId=${job}`, "StartTime=now", "TimeLimit=5"], cluster.env)
        .catch(() => {});
    }
    return states.every((state) => state === "COMPLETED") || undefined;
  });
}

const textOf = (path: string): string => {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
};

const adapter = (folder: string): Uint8Array => Deno.readFileSync(`${folder}/adapter_model.safetensors`);

/** Its steps are slow in the first round of a job, so that something can happen to it; their numbers are the same. */
const TUNING =
  `graft finetune -m model -d data.jsonl --method ${HERE}/slow_lora.ts --rank 2 --backend reference \\
  --batch-size 1 --accumulate 1 --max-steps 240 --epochs 60 --save-every 10000 --eval-every 100 --held-out 2`;

const SLOW = "export SLOW=$([ ${SLURM_RESTART_COUNT:-0} = 0 ] && echo 200 || echo 0)";

async function tuned({ folder, env }: Slurm): Promise<string> {
  await output("bash", ["-c", `cd ${folder} && ${TUNING} -o whole`], {
    ...env,
    PATH: `${folder}/bin:${Deno.env.get("PATH")}`,
  });
  return `${folder}/whole`;
}

/** Four tasks of an array take the points of one sweep; one of them prints the table. */
async function arrayOfSweep(cluster: Slurm): Promise<void> {
  const { folder } = cluster;
  const job = await submit(
    cluster,
    "sweep",
    `#SBATCH --array=1-4

graft sweep -m model -d data.jsonl -o sweep --grid rank=1,2,3 --seeds 0,1 --backend reference \\
  --held-out 2 --accumulate 1 --max-steps 20`,
  );
  await done(cluster, [1, 2, 3, 4].map((task) => `${job}_${task}`));
  const said = [1, 2, 3, 4].map((task) => textOf(`${folder}/sweep-${task}.txt`));
  const begun = said.flatMap((text) => [...text.matchAll(/^Run (\d) of 6:/gm)].map(([, number]) => number));
  assert.deepEqual(begun.sort(), ["1", "2", "3", "4", "5", "6"], said.join("\n"));
  said.forEach((text, i) =>
    assert.match(text, new RegExp(`This is shard ${i + 1} of 4, by SLURM_ARRAY_TASK_ID`))
  );
  const tables = said.filter((text) => /^rank +seed +held-out loss/m.test(text));
  assert.equal(tables.length, 1, said.join("\n"));
  assert.match(tables[0]!, /The best is in sweep\/runs\/rank=/);
}

/** Ranks that srun starts share a sweep without MPI. */
async function ranksOfSweep(cluster: Slurm): Promise<void> {
  const { folder } = cluster;
  const job = await submit(
    cluster,
    "ranks",
    `#SBATCH --ntasks=2

srun graft sweep -m model -d data.jsonl -o ranks --grid rank=1,2 --seeds 0,1 --backend reference \\
  --held-out 2 --accumulate 1 --max-steps 20`,
  );
  await done(cluster, [job]);
  const said = textOf(`${folder}/ranks-4294967294.txt`);
  assert.deepEqual(
    [...said.matchAll(/This is shard (\d of \d), by SLURM_PROCID/g)].map(([, n]) => n).sort(),
    ["1 of 2", "2 of 2"],
  );
  assert.deepEqual([...said.matchAll(/^Run (\d) of 4:/gm)].map(([, n]) => n).sort(), ["1", "2", "3", "4"]);
  assert.equal(said.match(/^rank +seed +held-out loss/gm)?.length, 1);
}

/** Two ranks that srun starts train one adapter, with the bits of one process. MPICH speaks Slurm's PMI-2. */
async function twoRanks(cluster: Slurm): Promise<void> {
  const { folder, env } = cluster;
  const run = `graft finetune -m model -d data.jsonl --rank 2 --backend wasm --batch-size 2 --accumulate 4 \\
  --max-steps 6 --epochs 6 --held-out 2`;
  const job = await submit(
    cluster,
    "tuning",
    `#SBATCH --ntasks=2

srun --mpi=pmi2 ${run} -o two`,
  );
  await output("bash", ["-c", `cd ${folder} && ${run} -o one`], {
    ...env,
    PATH: `${folder}/bin:${Deno.env.get("PATH")}`,
  });
  await done(cluster, [job]);
  const said = textOf(`${folder}/tuning-4294967294.txt`);
  assert.match(said, /Training in 2 processes by MPICH/);
  assert.equal(said.match(/^Finished after 6 steps/gm)?.length, 1, said);
  assert.deepEqual(adapter(`${folder}/two`), adapter(`${folder}/one`));
}

/** A run that the manager queues again saves at the signal and ends, after its second start, with the same bits. */
async function queuedAgain(cluster: Slurm, whole: Promise<string>): Promise<void> {
  const { folder, env } = cluster;
  const job = await submit(
    cluster,
    "requeue",
    `#SBATCH --requeue

${SLOW}
srun --ntasks=1 ${TUNING} -o requeued --resume`,
  );
  await until(
    "ten steps",
    () => textOf(`${folder}/requeued/metrics.jsonl`).split("\n").length > 10 || undefined,
  );
  await output("scontrol", ["requeue", job], env);
  await until(
    "the checkpoint",
    () => /Interrupted after step \d+/.exec(textOf(`${folder}/requeue-4294967294.txt`)) ?? undefined,
  );
  await until("the queue", async () => (await jobState(cluster, job)) === "PENDING" || undefined);
  await done(cluster, [job]);
  const said = textOf(`${folder}/requeue-4294967294.txt`);
  assert.equal(/from step (\d+)/.exec(said)?.[1], /Interrupted after step (\d+)/.exec(said)?.[1], said);
  assert.deepEqual(adapter(`${folder}/requeued`), adapter(await whole));
}

/** A time limit warns by SIGUSR1; the script queues the job again, and it ends with the same bits. */
async function timeLimit(cluster: Slurm, whole: Promise<string>): Promise<void> {
  const { folder } = cluster;
  const job = await submit(
    cluster,
    "limit",
    `#SBATCH --time=1 --signal=USR1@55 --requeue

${SLOW}
srun --ntasks=1 ${TUNING} -o limited --resume
code=$?
[ $code -eq 130 ] && scontrol requeue $SLURM_JOB_ID
exit $code`,
  );
  await until("the queue", async () =>
    (await jobState(cluster, job)) === "PENDING" &&
      textOf(`${folder}/limit-4294967294.txt`).includes("Interrupted") || undefined);
  const { step } = checkpointOf(`${folder}/limited`);
  await done(cluster, [job]);
  const said = textOf(`${folder}/limit-4294967294.txt`);
  assert.match(said, new RegExp(`Interrupted after step ${step} of 240`));
  assert.match(said, new RegExp(`240 steps from step ${step}`));
  assert.deepEqual(adapter(`${folder}/limited`), adapter(await whole));
}

function checkpointOf(folder: string): { readonly step: number } {
  using state = openTrainingState(`${folder}/checkpoint/state.safetensors`);
  return { step: state.step };
}

// All jobs run at once: the time limit takes Slurm half a minute alone.
Deno.test("under Slurm", { sanitizeOps: false, sanitizeResources: false }, async (test) => {
  await using cluster = await slurm();
  const { folder } = cluster;
  [tinyModel(folder), tinyData(folder)];
  Deno.mkdirSync(`${folder}/bin`);
  const graft = `#!/bin/sh\nexec ${Deno.execPath()} run -A --quiet ${MAIN} "$@"\n`;
  Deno.writeTextFileSync(`${folder}/bin/graft`, graft, { mode: 0o755 });
  const whole = tuned(cluster);
  const jobs = {
    "four tasks of an array share a sweep": arrayOfSweep(cluster),
    "two ranks of srun share a sweep": ranksOfSweep(cluster),
    "two ranks of srun train one adapter": twoRanks(cluster),
    "a job that is queued again goes on to the same bits": queuedAgain(cluster, whole),
    "a time limit's warning makes a checkpoint, from which the job goes on": timeLimit(cluster, whole),
  };
  await Promise.allSettled(Object.values(jobs));
  for (const [name, job] of Object.entries(jobs)) await test.step(name, () => job);
});
