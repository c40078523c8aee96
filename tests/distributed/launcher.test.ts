/** Launchers by the variables that they set, and the libraries that are tried for each. */
import assert from "node:assert/strict";
import { launcherOf } from "../../distributed/launcher.ts";
import { librariesFor, openMpi } from "../../distributed/mpi.ts";

const from = (variables: Readonly<Record<string, string>>) => launcherOf((name) => variables[name]);

Deno.test("launcherOf() knows mpirun of Open MPI, of MPICH, and srun; a batch script is alone", () => {
  assert.deepEqual(from({ OMPI_COMM_WORLD_RANK: "1", OMPI_COMM_WORLD_SIZE: "4" }), {
    name: "Open MPI",
    rank: 1,
    size: 4,
  });
  assert.deepEqual(from({ PMI_RANK: "0", PMI_SIZE: "2" }), { name: "PMI", rank: 0, size: 2 });
  const job = { SLURM_PROCID: "0", SLURM_NTASKS: "8", SLURM_JOB_ID: "7" };
  assert.equal(from(job), undefined); // sbatch sets these for its script, which is one process
  assert.deepEqual(from({ ...job, SLURM_PROCID: "3", SLURM_STEP_NUM_TASKS: "8" }), {
    name: "Slurm",
    rank: 3,
    size: 8,
  });
  assert.equal(from({}), undefined);
  assert.equal(from({ PMI_RANK: "two", PMI_SIZE: "2" }), undefined);
  assert.equal(from({ PMI_RANK: "2", PMI_SIZE: "2" }), undefined);
});

Deno.test("an MPI library within a job of Slurm comes before Slurm's own variables", () => {
  const both = { SLURM_PROCID: "0", SLURM_STEP_NUM_TASKS: "1", PMI_RANK: "5", PMI_SIZE: "6" };
  assert.deepEqual(from(both), { name: "PMI", rank: 5, size: 6 });
});

Deno.test("librariesFor() gives the one that was named, or those that may belong to the launcher", () => {
  const launcher = { name: "PMI", rank: 0, size: 2 } as const;
  assert.deepEqual(librariesFor(launcher, { library: "/opt/mpi.so", path: "" }), ["/opt/mpi.so"]);
  assert.equal(librariesFor(launcher, { library: undefined, path: "" })[0], "libmpi_abi.so.1");
});

Deno.test("without a library the message says who launched, what was tried and what to do", () => {
  assert.throws(
    () => openMpi({ name: "PMI", rank: 0, size: 2 }, { library: "/no/such/libmpi.so", path: "" }),
    /PMI launched 2 processes, but no MPI library opens \(tried \/no\/such\/libmpi\.so; .*GRAFT_MPI.*--distributed off/s,
  );
});
