/** What the processes of a folder agree on, and what is refused by name. */
import assert from "node:assert/strict";
import { agree, agreed, countsSeen, markSeen, shardNames, unseen } from "../../../cli/sharing/agreement.ts";
import { temporaryFolder } from "../tiny.ts";

const MINE = {
  options: { model: "m", learningRate: 0.1, data: "abc" },
  plan: { grid: ["rank=1,2"], seeds: [0] },
  points: ["rank=1", "rank=2"],
  backend: "wasm",
};
const none = (): boolean => false;

Deno.test("the first process says where auto computes, and the others follow", async () => {
  using folder = temporaryFolder();
  assert.equal(await agreed(folder.path), undefined);
  const { version: _, ...first } = await agree(folder.path, MINE, none) as typeof MINE & { version?: string };
  assert.deepEqual(first, MINE);
  assert.equal((await agree(folder.path, { ...MINE, backend: "native" }, none)).backend, "wasm");
  assert.equal((await agreed(folder.path))?.backend, "wasm");
});

Deno.test("twenty processes that agree at once agree on one thing", async () => {
  using folder = temporaryFolder();
  const all = await Promise.all(
    Array.from({ length: 20 }, (_, i) => agree(folder.path, { ...MINE, backend: `b${i}` }, none)),
  );
  assert.equal(new Set(all.map(({ backend }) => backend)).size, 1);
});

Deno.test("other options, data, versions and points are refused by name", async () => {
  using folder = temporaryFolder();
  await agree(folder.path, MINE, none);
  const refused = (options: object, plan: object, message: RegExp) =>
    assert.rejects(
      agree(folder.path, {
        ...MINE,
        options: { ...MINE.options, ...options },
        plan: { ...MINE.plan, ...plan },
      }, none),
      message,
    );
  await refused({ learningRate: 0.2 }, {}, /--learning-rate is 0.1 there and 0.2 here; all processes/);
  await refused({ packing: true }, {}, /--packing is not given there and true here/);
  await refused({ data: "abd" }, {}, /--data has other bytes than there/);
  await refused(
    {},
    { grid: ["rank=1,4"] },
    /--grid is \["rank=1,2"\] there and \["rank=1,4"\] here; .*finished/,
  );
  await refused({}, { seeds: [0, 1] }, /--seeds is \[0\] there and \[0,1\] here/);
  const path = `${folder.path}/sharing/settings.0.json`;
  Deno.writeTextFileSync(
    path,
    Deno.readTextFileSync(path).replace(/"version": "[^"]*"/, '"version": "0.0.9"'),
  );
  await refused({}, {}, /it was begun by graft "0.0.9", and this is graft/);
});

Deno.test("another plan takes the place of one whose points are all finished, for everybody", async () => {
  using folder = temporaryFolder();
  await agree(folder.path, MINE, none);
  const more = { ...MINE, plan: { ...MINE.plan, seeds: [0, 1] }, points: ["a"] };
  await assert.rejects(agree(folder.path, more, (point) => point === "rank=1"), /--seeds/);
  assert.deepEqual((await agree(folder.path, more, (point) => point.startsWith("rank="))).points, ["a"]);
  await assert.rejects(agree(folder.path, MINE, none), /--seeds is \[0,1\] there and \[0\] here/);
  assert.deepEqual((await agreed(folder.path))?.points, ["a"]);
});

Deno.test("shards that left no mark are known by their numbers", async () => {
  using folder = temporaryFolder();
  assert.deepEqual([countsSeen(folder.path), unseen(folder.path, 3)], [[], [1, 2, 3]]);
  await markSeen(folder.path, { index: 2, count: 3 });
  await markSeen(folder.path, { index: 2, count: 3 });
  assert.deepEqual([countsSeen(folder.path), unseen(folder.path, 3)], [[3], [1, 3]]);
  assert.equal(shardNames([1, 3], 3), "shards 1 and 3 of 3");
  assert.equal(shardNames([1, 2, 3], 4), "shards 1, 2 and 3 of 4");
  assert.equal(shardNames([2], 4), "shard 2 of 4");
});
