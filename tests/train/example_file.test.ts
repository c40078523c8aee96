/** Files of examples whose check several ranks share: each reads its own records, and all know what one process knows. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import fc from "fast-check";
import { type Example, openExamples, type World } from "../../train/mod.ts";
import { inFolder } from "../support/folder.ts";
import { worldsOf } from "../support/worlds.ts";

/** Conversations of some turns, of which each answer is an example. */
const line = (turns: number, n: number): string =>
  JSON.stringify({
    messages: Array.from({ length: turns }, (_, i) => [
      { role: "user", content: `question ${n}.${i}` },
      { role: "assistant", content: `answer ${n}.${i}` },
    ]).flat(),
  });

/** What a rank knows of a file, and the records that it read. */
async function known(file: string, world?: World, hash = "same") {
  const read: Example[] = [];
  using examples = await openExamples(
    file,
    { answers: "last", ...world && { shared: { world, hash } } },
    (example) => read.push(example),
  );
  return { all: Array.from({ length: examples.count }, (_, n) => examples.example(n)), read };
}

Deno.test("ranks that share a file know all examples, and each example is read by one of them", () =>
  inFolder(async (folder) => {
    const file = `${folder}/data.jsonl`;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 9 }),
        fc.constantFrom(1, 2, 3, 4, 6),
        fc.boolean(),
        async (turns, size, blank) => {
          writeFileSync(file, turns.map(line).join(blank ? "\n\n" : "\n") + "\n");
          const alone = await known(file);
          const ranks = await Promise.all(worldsOf(size).map((world) => known(file, world)));
          for (const rank of ranks) assert.deepEqual(rank.all, alone.all);
          const read = ranks.flatMap((rank) => rank.read).map(({ answer }) => answer);
          assert.deepEqual(read.sort(), alone.read.map(({ answer }) => answer).sort());
          const share = Math.ceil(turns.length / size);
          for (const rank of ranks) assert.ok(new Set(rank.read.map(({ at }) => at?.line)).size <= share);
        },
      ),
    );
  }));

Deno.test("every rank names the first bad record, whoever read it", () =>
  inFolder(async (folder) => {
    const file = `${folder}/data.jsonl`;
    for (const bad of [['{"messages": []}'], ["{"], ['{"messages": []}', "{"]]) {
      for (const at of [0, 1, 2, 5]) {
        const lines = Array.from({ length: 6 }, (_, n) => line(1, n));
        bad.forEach((text, i) => lines[at + 2 * i] = text);
        writeFileSync(file, lines.filter((text) => text !== undefined).join("\n"));
        const alone = await known(file).then(() => "", (error) =>
          `${error.name} ${error.code} ${error.message}`);
        assert.notEqual(alone, "");
        for (const size of [2, 3]) {
          const ranks = await Promise.allSettled(
            worldsOf(size).map((world) =>
              known(file, world)
            ),
          );
          for (const rank of ranks) {
            assert.ok(rank.status === "rejected");
            const { name, code, message } = rank.reason;
            assert.equal(`${name} ${code} ${message}`, alone);
          }
        }
      }
    }
  }));

Deno.test("ranks with other files, or with a form that cannot be divided, read all of their own", () =>
  inFolder(async (folder) => {
    const [one, other, table] = [`${folder}/one.jsonl`, `${folder}/other.jsonl`, `${folder}/table.csv`];
    writeFileSync(one, [1, 2, 1].map(line).join("\n"));
    writeFileSync(other, `${readFileSync(one, "utf8")}\n${line(1, 9)}`);
    writeFileSync(table, "prompt,completion\na,b\nc,d\n");
    const [a, b] = worldsOf(2);
    const [first, second] = await Promise.all([known(one, a, "one"), known(other, b, "other")]);
    assert.deepEqual(first, await known(one));
    assert.deepEqual(second, await known(other));
    for (const rank of await Promise.all(worldsOf(2).map((world) => known(table, world)))) {
      assert.deepEqual(rank, await known(table));
    }
  }));
