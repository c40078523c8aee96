/** The tab's files beside the machine's: what `node:fs` does, the studio's does, its errors' codes included. */
import assert from "node:assert/strict";
import * as real from "node:fs";
import fc from "fast-check";
import * as fs from "../../../studio/node/fs.ts";
import { isMissing } from "../../../platform/files.ts";
import { volume } from "../../../studio/node/volume.ts";
import { temporaryFolder } from "../../cli/tiny.ts";

/** The part of `node:fs` that both have. */
type Files = Pick<
  typeof real,
  | "closeSync"
  | "existsSync"
  | "ftruncateSync"
  | "mkdirSync"
  | "openSync"
  | "readdirSync"
  | "readFileSync"
  | "renameSync"
  | "rmSync"
  | "rmdirSync"
  | "statSync"
  | "unlinkSync"
  | "writeFileSync"
  | "writeSync"
>;

const own = fs as unknown as Files;

/** What a call gives, or the code of its error; ENOENT and ENOTDIR are one, as graft takes them (`platform/files.ts`). */
function outcome(work: () => unknown): unknown {
  try {
    return work() ?? "done";
  } catch (error) {
    return isMissing(error) ? "missing" : `error ${(error as { readonly code?: string }).code}`;
  }
}

const name = fc.constantFrom("a", "b", "a/b", "a/c", "b/a", "a/b/c");
const bytes = fc.uint8Array({ maxLength: 8 });

/** Calls that both file systems get, with what is compared of their results. */
const calls: fc.Arbitrary<(files: Files, at: (path: string) => string) => unknown> = fc.oneof(
  name.map((path) => (files: Files, at: (path: string) => string) => files.mkdirSync(at(path))),
  name.map((path) => (files: Files, at: (path: string) => string) =>
    void files.mkdirSync(at(path), { recursive: true })
  ),
  fc.tuple(name, bytes).map(([path, content]) => (files: Files, at: (path: string) => string) =>
    files.writeFileSync(at(path), content)
  ),
  fc.tuple(name, bytes).map(([path, content]) => (files: Files, at: (path: string) => string) =>
    files.writeFileSync(at(path), content, { flag: "wx" })
  ),
  name.map((path) => (files: Files, at: (path: string) => string) => [...files.readFileSync(at(path))]),
  name.map((path) => (files: Files, at: (path: string) => string) => files.readdirSync(at(path)).sort()),
  name.map((path) => (files: Files, at: (path: string) => string) => {
    const found = files.statSync(at(path));
    return [found.isFile(), found.isDirectory(), found.isFile() ? found.size : 0];
  }),
  name.map((path) => (files: Files, at: (path: string) => string) => files.existsSync(at(path))),
  // Deno's own removes folders by it, which Node's refuses.
  name.map((path) => (files: Files, at: (path: string) => string) =>
    files.existsSync(at(path)) && files.statSync(at(path)).isDirectory() || files.unlinkSync(at(path))
  ),
  name.map((path) => (files: Files, at: (path: string) => string) => files.rmdirSync(at(path))),
  name.map((path) => (files: Files, at: (path: string) => string) =>
    files.rmSync(at(path), { recursive: true, force: true })
  ),
  fc.tuple(name, name).filter(([from, to]) =>
    !`${to}/`.startsWith(`${from}/`) && !`${from}/`.startsWith(`${to}/`)
  )
    .map(([from, to]) => (files: Files, at: (path: string) => string) => files.renameSync(at(from), at(to))),
  fc.tuple(name, fc.constantFrom("r+", "w", "a"), fc.nat(6), bytes, fc.nat(9)).map((
    [path, flags, position, content, size],
  ) =>
  (files: Files, at: (path: string) => string) => {
    const file = files.openSync(at(path), flags);
    const place = flags === "a" ? null : position;
    const written = files.writeSync(file, content, 0, content.length, place);
    if (size < 5) files.ftruncateSync(file, size);
    files.closeSync(file);
    return written;
  }),
);

Deno.test("the tab's files are as the machine's, after any calls", () => {
  fc.assert(
    fc.property(fc.array(calls, { minLength: 1, maxLength: 25 }), (work) => {
      using folder = temporaryFolder();
      own.mkdirSync("/here");
      try {
        for (const call of work) {
          const theirs = outcome(() => call(real, (path) => `${folder.path}/${path}`));
          assert.deepEqual(outcome(() => call(own, (path) => `/here/${path}`)), theirs, call.toString());
        }
      } finally {
        volume.remove("/here", "rm");
      }
    }),
    { numRuns: 400 },
  );
});

Deno.test("a file that is open keeps its bytes when another takes its place", () => {
  volume.put("/old", Uint8Array.of(1, 2, 3));
  const file = fs.openSync("/old", "r");
  volume.put("/new", Uint8Array.of(9));
  fs.renameSync("/new", "/old");
  const target = new Uint8Array(3);
  assert.equal(fs.readSync(file, target, 0, 3, 0), 3);
  assert.deepEqual(target, Uint8Array.of(1, 2, 3));
  fs.closeSync(file);
  assert.throws(() => fs.readSync(file, target), { code: "EBADF" });
  assert.deepEqual(fs.readFileSync("/old"), Uint8Array.of(9));
  fs.unlinkSync("/old");
});

Deno.test("a stored file is read by ranges and becomes one of its own when it is written", () => {
  const asked: (readonly [number, number])[] = [];
  const content = Uint8Array.of(0, 1, 2, 3, 4, 5);
  volume.put("/stored", {
    size: 6,
    read: (start, end) => {
      asked.push([start, end]);
      return content.slice(start, end);
    },
  });
  const file = fs.openSync("/stored", "r+");
  const target = new Uint8Array(2);
  fs.readSync(file, target, 0, 2, 3);
  assert.deepEqual([[...target], asked], [[3, 4], [[3, 5]]]);
  fs.writeSync(file, Uint8Array.of(9), 0, 1, 1);
  fs.closeSync(file);
  assert.deepEqual([...fs.readFileSync("/stored")], [0, 9, 2, 3, 4, 5]);
  fs.unlinkSync("/stored");
});
