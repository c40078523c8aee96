/** Shares of points: by the option, by Slurm's arrays and by launchers; nonsense is refused. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { Command } from "../../../cli/terminal/arguments.ts";
import { type Shard, shardOf, shardOption } from "../../../cli/sharing/shard.ts";

const flagOf = (text: string) =>
  new Command("x").exitOverride().configureOutput({ writeErr: () => {} }).addOption(shardOption())
    .parse(["--shard", text], { from: "user" }).opts()["shard"];

const told = (variables: Readonly<Record<string, string>>, flag?: Parameters<typeof shardOf>[0]) =>
  shardOf(flag, (name) => variables[name]);

const array = (id: number, least: number, most: number, count: number) => ({
  SLURM_ARRAY_TASK_ID: String(id),
  SLURM_ARRAY_TASK_MIN: String(least),
  SLURM_ARRAY_TASK_MAX: String(most),
  SLURM_ARRAY_TASK_COUNT: String(count),
});

const shareOf = (shard: Shard | undefined) => shard && [shard.index, shard.count];

Deno.test("--shard takes a share or off, and nothing else", () => {
  assert.deepEqual(flagOf("3/16"), { index: 3, count: 16 });
  assert.deepEqual(flagOf("1/1"), { index: 1, count: 1 });
  assert.equal(flagOf("off"), "off");
  for (
    const text of [
      "",
      "3",
      "0/4",
      "5/4",
      "-1/4",
      "1/0",
      "1.5/4",
      "01/4",
      "1/4/2",
      "a/b",
      "1 / 4",
      "on",
      "1/1e3",
    ]
  ) {
    assert.throws(() => flagOf(text), /Expected a share such as 3\/16/, text);
  }
});

Deno.test("the option stands above the variables, and off ignores them", () => {
  const variables = { ...array(2, 0, 3, 4), OMPI_COMM_WORLD_RANK: "1", OMPI_COMM_WORLD_SIZE: "2" };
  assert.deepEqual(shareOf(told(variables, { index: 1, count: 3 })), [1, 3]);
  assert.equal(told(variables, "off"), undefined);
  assert.equal(told({}), undefined);
});

Deno.test("tasks of an array are its shares in their order, wherever the numbers begin and by whatever step", () => {
  fc.assert(fc.property(
    fc.integer({ min: 0, max: 50 }),
    fc.integer({ min: 1, max: 7 }),
    fc.integer({ min: 2, max: 40 }),
    (least, step, count) => {
      const ids = Array.from({ length: count }, (_, i) => least + i * step);
      const shares = ids.map((id) => told(array(id, least, ids.at(-1)!, count)));
      assert.deepEqual(shares.map(shareOf), ids.map((_, i) => [i + 1, count]));
    },
  ));
  assert.equal(told(array(5, 5, 5, 1)), undefined, "an array of one task has all points");
});

Deno.test("arrays whose shares cannot be told, and variables that are no numbers, are refused", () => {
  assert.throws(() => told(array(3, 1, 7, 3)), /Cannot tell the share of task 3 in a Slurm array of 3 tasks/);
  assert.throws(() => told(array(9, 1, 7, 7)), /Cannot tell the share of task 9/);
  assert.throws(
    () => told({ ...array(1, 1, 7, 7), SLURM_ARRAY_TASK_COUNT: "x" }),
    /SLURM_ARRAY_TASK_COUNT .*"x"/,
  );
  assert.throws(() => told({ SLURM_ARRAY_TASK_ID: "1" }), /SLURM_ARRAY_TASK_MIN .*found none/);
  assert.throws(() => told({ PMI_RANK: "2", PMI_SIZE: "2" }), /Expected PMI_RANK below PMI_SIZE/);
  assert.throws(() => told({ PMI_RANK: "-1", PMI_SIZE: "2" }), /PMI_RANK to be an integer/);
});

Deno.test("ranks of launchers are shares, the script of a job is none", () => {
  for (
    const [rank, size] of [
      ["OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"],
      ["PMI_RANK", "PMI_SIZE"],
      ["SLURM_PROCID", "SLURM_STEP_NUM_TASKS"],
    ] as const
  ) {
    assert.deepEqual(told({ [rank]: "2", [size]: "4" }), {
      ...{ index: 3, count: 4, told: rank, starts: "together" },
    });
    assert.equal(told({ [rank]: "0", [size]: "1" }), undefined);
  }
  assert.equal(told({ SLURM_PROCID: "0", SLURM_NTASKS: "4" }), undefined);
});

Deno.test("ranks within the tasks of an array have different shares that cover all", () => {
  const shares = [0, 1, 2].flatMap((id) =>
    ["0", "1"].map((rank) => told({ ...array(id, 0, 2, 3), SLURM_PROCID: rank, SLURM_STEP_NUM_TASKS: "2" }))
  );
  assert.deepEqual(shares.map(shareOf), [1, 2, 3, 4, 5, 6].map((index) => [index, 6]));
});
