/** Data sets from a server on the loopback interface that answers at the hub's addresses. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { downloadDataSet } from "../../../io/hub/data_set.ts";
import { dataSetFiles } from "../../../io/hub/files.ts";
import { readRecords } from "../../../train/records/read.ts";
import { inFolder } from "../../support/folder.ts";
import { GOLDEN } from "../../support/golden.ts";

const parquet = readFileSync(`${GOLDEN}data_files/same/records_snappy.parquet`);
const text = (content: string): Uint8Array => new TextEncoder().encode(content);

/** Files by repository and revision. */
const HUB: Readonly<Record<string, Readonly<Record<string, Uint8Array>>>> = {
  "org/plain@main": {
    "README.md": text("# data"),
    "data/test-00000-of-00001.parquet": text("not asked for"),
    "data/train-00000-of-00001.parquet": parquet,
  },
  "org/script@main": { "README.md": text("# data"), "script.py": text("") },
  "org/script@refs/convert/parquet": { "default/train/0000.parquet": parquet },
};

async function withHub(run: (options: { endpoint: string; cache: string }) => Promise<void>): Promise<void> {
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, (request) => {
    const path = decodeURIComponent(new URL(request.url).pathname);
    const listed = /^\/api\/datasets\/(\w+\/\w+)\/tree\/(.+)$/.exec(path);
    if (listed !== null) {
      const files = Object.entries(HUB[`${listed[1]}@${listed[2]}`] ?? {});
      return Response.json(files.map(([path, bytes]) => ({
        type: "file",
        path,
        size: bytes.length,
        oid: createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex"),
      })));
    }
    const file = /^\/datasets\/(\w+\/\w+)\/resolve\/(main|refs\/convert\/parquet)\/(.+)$/.exec(path);
    const bytes = file && HUB[`${file[1]}@${file[2]}`]?.[file[3]!];
    return bytes ? new Response(bytes.slice()) : new Response("", { status: 404 });
  });
  try {
    await inFolder((cache) => run({ endpoint: `http://127.0.0.1:${server.addr.port}`, cache }));
  } finally {
    await server.shutdown();
  }
}

Deno.test("downloadDataSet() brings the training part alone", () =>
  withHub(async (hub) => {
    const folder = await downloadDataSet("org/plain", hub);
    assert.deepEqual(readdirSync(`${folder}/data`), ["train-00000-of-00001.parquet"]);
    assert.equal((await Array.fromAsync(readRecords(folder))).length, 60);
  }));

Deno.test("downloadDataSet() takes the hub's own Parquet of a data set without data files", () =>
  withHub(async (hub) => {
    const folder = await downloadDataSet("org/script", hub);
    assert.equal((await Array.fromAsync(readRecords(folder))).length, 60);
    await assert.rejects(
      () => downloadDataSet("org/script@main", hub),
      /Expected the data set org\/script@main/,
    );
  }));

Deno.test("dataSetFiles() chooses one form and one part", () => {
  const files = (...paths: string[]): readonly string[] => dataSetFiles("org/d", paths);
  assert.deepEqual(files("a.jsonl", "b.parquet"), ["b.parquet"]);
  assert.deepEqual(files("dataset_infos.json", "a.csv.gz", "test.csv"), ["a.csv.gz", "test.csv"]);
  assert.deepEqual(files("train.json", "validation.json"), ["train.json"]);
  assert.deepEqual(files("restrained.json", "x.json"), ["restrained.json", "x.json"]);
  assert.throws(
    () => files("en/train.parquet", "de/train.parquet"),
    /Cannot choose among the parts .*en\/, de\//,
  );
  assert.throws(() => files("README.md"), /Expected the data set org\/d to hold/);
});
