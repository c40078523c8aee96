/** Claims of points: one holder at a time among many processes, the dead replaced, clocks ignored. */
import assert from "node:assert/strict";
import { type Claim, type Claims, openClaims, type PointStatus } from "../../../cli/sharing/claims.ts";
import { timeOf } from "../../../cli/sharing/heartbeat.ts";
import { thisProcess } from "../../../cli/sharing/owner.ts";
import { temporaryFolder } from "../tiny.ts";

const SOURCE = new URL("../../../cli/sharing/claims.ts", import.meta.url).href;
const BEAT = { every: 10_000, patience: 60_000 };

/** A process that runs a program which knows `openClaims` and the folder. */
const started = (folder: string, program: string) =>
  new Deno.Command(Deno.execPath(), {
    args: [
      "eval",
      "--quiet",
      `import { openClaims } from ${JSON.stringify(SOURCE)}; const folder = ${
        JSON.stringify(folder)
      }; ${program}`,
    ],
    ...{ stdin: "null", stdout: "piped", stderr: "inherit" },
  }).spawn();

const isClaim = (taken: Claim | PointStatus): taken is Claim => !("state" in taken);

async function claimed(claims: Claims, name: string, failedTurn?: number): Promise<Claim> {
  const taken = await claims.take(name, failedTurn);
  return isClaim(taken) ? taken : assert.fail(JSON.stringify(taken));
}

async function refused(claims: Claims, name: string, failedTurn?: number): Promise<PointStatus> {
  const taken = await claims.take(name, failedTurn);
  return isClaim(taken) ? assert.fail("it was taken") : taken;
}

/** Claims as a process of another machine makes them. */
const elsewhere = (folder: string) =>
  openClaims(folder, BEAT, { ...thisProcess(), host: "far", machine: "far away", pid: 1 });

/** Takes every point that it can, says which, in an order of its own; finishes three of four and lets go the rest. */
const GREEDY = `
const names = Array.from({ length: 40 }, (_, i) => "p" + i).sort(() => Math.random() - 0.5);
using claims = openClaims(folder);
while (names.some((name) => claims.status(name).state !== "finished")) {
  for (const name of names) {
    const claim = await claims.take(name);
    if ("state" in claim) continue;
    console.log("begin " + name);
    await new Promise((done) => setTimeout(done, Math.random() * 4));
    if (claim.lost()) throw new Error("lost " + name);
    if (Math.random() < 0.25) await claim.release();
    else {
      console.log("done " + name);
      await claim.finish();
    }
  }
}`;

Deno.test("eight processes at once finish each point once, five times over", async () => {
  for (let round = 0; round < 5; round++) {
    using folder = temporaryFolder();
    const outputs = await Promise.all(
      Array.from({ length: 8 }, () => started(folder.path, GREEDY).output()),
    );
    assert.deepEqual(outputs.map(({ code }) => code), Array(8).fill(0));
    const lines = outputs.flatMap(({ stdout }) => new TextDecoder().decode(stdout).trimEnd().split("\n"));
    const done = lines.filter((line) => line.startsWith("done ")).sort();
    assert.deepEqual(done, Array.from({ length: 40 }, (_, i) => `done p${i}`).sort());
    const begun = lines.filter((line) => line.startsWith("begin ")).length;
    const turns = [...Deno.readDirSync(folder.path)].filter(({ name }) => name.endsWith(".json")).length;
    assert.equal(begun, turns, "every beginning has a file of its own");
  }
});

Deno.test("a point of a process that was killed is free at once on its machine", async () => {
  using folder = temporaryFolder();
  const child = started(
    folder.path,
    `const claims = openClaims(folder); await claims.take("p"); console.log("taken"); await new Promise(() => {});`,
  );
  const reader = child.stdout.getReader();
  await reader.read();
  using claims = openClaims(folder.path);
  const status = await refused(claims, "p");
  assert.deepEqual([status.state, status.state === "held" && status.by?.pid], ["held", child.pid]);
  child.kill("SIGKILL");
  await child.status;
  await reader.cancel();
  const claim = await claimed(claims, "p");
  assert.equal(claims.status("p").state, "held");
  await claim.finish();
  assert.equal((await refused(claims, "p")).state, "finished");
});

Deno.test("a process number that another process has by now holds nothing", async () => {
  using folder = temporaryFolder();
  {
    using earlier = openClaims(folder.path, BEAT, { ...thisProcess(), started: "1" });
    await claimed(earlier, "p");
  }
  using claims = openClaims(folder.path);
  await claimed(claims, "p");
});

Deno.test("a process elsewhere holds its point while its signs of life are young by the file system's clock", async () => {
  using folder = temporaryFolder();
  using far = elsewhere(folder.path);
  await claimed(far, "p");
  using claims = openClaims(folder.path);
  const now = timeOf(`${folder.path}/clock`) / 1000;
  const sign = `${folder.path}/alive/${far.owner.nonce}`;
  const claim = `${folder.path}/p.0.json`;
  const clock = Date.now;
  try {
    // What a machine's own clock says is ignored.
    for (const skew of [-86_400_000, 0, 86_400_000]) {
      Date.now = () => clock() + skew;
      Deno.utimeSync(claim, now - 7200, now - 7200);
      Deno.utimeSync(sign, now - 50, now - 50);
      assert.equal((await refused(claims, "p")).state, "held", `${skew}`);
    }
    Deno.utimeSync(sign, now - 70, now - 70);
    assert.equal(claims.status("p").state, "free");
  } finally {
    Date.now = clock;
  }
  const taken = await claimed(claims, "p");
  assert.equal(taken.lost(), false);
});

Deno.test("whoever gave no sign for too long sees that its point is lost", async () => {
  using folder = temporaryFolder();
  using far = elsewhere(folder.path);
  const slow = await claimed(far, "p");
  assert.equal(slow.lost(), false);
  using claims = openClaims(folder.path);
  for (const path of [`alive/${far.owner.nonce}`, "p.0.json"]) {
    Deno.utimeSync(`${folder.path}/${path}`, 1, 1);
  }
  await claimed(claims, "p");
  assert.equal(slow.lost(), true);
});

Deno.test("signs of life are given while a step keeps the process busy", async () => {
  using folder = temporaryFolder();
  using claims = openClaims(folder.path, { every: 50, patience: 500 });
  await claimed(claims, "p");
  const sign = `${folder.path}/alive/${claims.owner.nonce}`;
  const before = Deno.statSync(sign).mtime!.getTime();
  for (const end = performance.now() + 2000; performance.now() < end;) {
    if (Deno.statSync(sign).mtime!.getTime() > before + 200) return;
  }
  assert.fail("none in two seconds");
});

Deno.test("an empty claim, whose writer died over it, is held until it is old", async () => {
  using folder = temporaryFolder();
  using claims = openClaims(folder.path);
  Deno.writeTextFileSync(`${folder.path}/p.0.json`, "");
  assert.deepEqual(await refused(claims, "p"), { state: "held", by: undefined });
  Deno.utimeSync(`${folder.path}/p.0.json`, 1, 1);
  await claimed(claims, "p");
});

Deno.test("a failed point is taken again only at the turn that is named", async () => {
  using folder = temporaryFolder();
  using claims = openClaims(folder.path);
  await (await claimed(claims, "p")).fail("no such layer");
  const failed = await refused(claims, "p");
  assert.deepEqual(failed, { state: "failed", by: claims.owner, turn: 0, message: "no such layer" });
  assert.equal((await refused(claims, "p", 1)).state, "failed");
  await (await claimed(claims, "p", 0)).fail("still none");
  assert.equal((await refused(claims, "p", 0)).state, "failed", "once");
});

Deno.test("nothing is left of a process that ended but its claims", () => {
  using folder = temporaryFolder();
  {
    using _ = openClaims(folder.path);
    assert.equal([...Deno.readDirSync(`${folder.path}/alive`)].length, 1);
  }
  assert.equal([...Deno.readDirSync(`${folder.path}/alive`)].length, 0);
});
