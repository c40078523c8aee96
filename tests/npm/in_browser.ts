/**
 * The npm package in a page of Chromium, bundled by Vite and by esbuild from a fresh project: it computes, trains and writes in
 * workers as Deno does. Part of `deno task test:npm`; it needs Chromium.
 */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { lora } from "../../mod.ts";
import { temporaryFolder } from "../../platform/temporary.ts";
import { buildNpmPackage } from "../../tools/npm_package.ts";
import { trainInWorker } from "../../worker/mod.ts";
import { chromium } from "../browser/chromium.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url)).replace(/[\\/]$/, "");
const folder = temporaryFolder("graft page-");
const project = `${folder}/project`;
globalThis.addEventListener("unload", () => rmSync(folder, { recursive: true, force: true }));

function run(command: readonly string[]): void {
  const [name, ...args] = command;
  const { success, stdout, stderr } = new Deno.Command(name!, { args, cwd: project }).outputSync();
  const [said, noted] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  assert.ok(success, `${command.join(" ")}\n${said}\n${noted}`);
}

const PAGE = '<!doctype html><title>page</title><script type="module" src="./main.js"></script>\n';
const main = (program: string): string =>
  `${program}\nimport { onPage } from "./page.js";\nglobalThis.onPage = () => onPage(start);\n`;

mkdirSync(project);
cpSync(new URL("page.js", import.meta.url), `${project}/page.js`);
writeFileSync(`${project}/package.json`, JSON.stringify({ private: true, type: "module" }));
writeFileSync(`${project}/index.html`, PAGE);
const tarball = await buildNpmPackage(`${folder}/built`);
run(["npm", "install", "--no-audit", "--no-fund", tarball, "vite@^7", "esbuild@^0.28"]);

/** Builds into a folder by the bundler of a name. */
const BUNDLERS: Readonly<Record<string, (to: string) => void>> = {
  "Vite": (to) => {
    writeFileSync(
      `${project}/main.js`,
      main('import Program from "@graft/peft/worker/program?worker";\nconst start = () => new Program();'),
    );
    writeFileSync(`${project}/vite.config.js`, 'export default { base: "./", worker: { format: "es" } };\n');
    run(["npx", "vite", "build", "--outDir", to]);
  },
  "esbuild": (to) => {
    writeFileSync(
      `${project}/main.js`,
      main('const start = () => new Worker("program.js", { type: "module" });'),
    );
    writeFileSync(`${project}/program.js`, 'import "@graft/peft/worker/program";\n');
    run([
      ...["npx", "esbuild", "main.js", "program.js", "--bundle", "--splitting", "--format=esm", "--minify"],
      ...["--platform=browser", "--target=es2022", `--outdir=${to}`, "--log-level=error"],
    ]);
    cpSync(`${project}/index.html`, `${to}/index.html`);
  },
};

const TYPES: Readonly<Record<string, string>> = {
  ".js": "text/javascript",
  ".html": "text/html",
  ".json": "application/json",
};

/** Serves a bundle, and the embedded model, with the headers that let workers share memory. */
const serving = (built: string) => (request: Request): Response => {
  const path = new URL(request.url).pathname.replace(/\/$/, "/index.html");
  const file = path.startsWith("/model/") ? `${ROOT}/embedded${path}` : `${built}${path}`;
  try {
    return new Response(readFileSync(file), {
      headers: {
        "content-type": TYPES[extname(path)] ?? "application/octet-stream",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-embedder-policy": "require-corp",
      },
    });
  } catch {
    return new Response(null, { status: 404 });
  }
};

/** What `page.js` finds. */
interface Found {
  readonly trainable: number;
  readonly numbers: number;
  readonly losses: readonly number[];
  readonly texts: readonly string[];
  readonly isolated: boolean;
  readonly refused: string;
}

for (const [name, bundled] of Object.entries(BUNDLERS)) {
  Deno.test(`a page that ${name} bundled computes, and trains and writes in workers as Deno does`, async () => {
    const built = `${folder}/${name}`;
    bundled(built);
    const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, serving(built));
    try {
      await using browser = await chromium();
      const page = await browser.page();
      await page.open(`http://127.0.0.1:${(server.addr as Deno.NetAddr).port}/`);
      const found = await page.evaluate<Found>("onPage()");
      assert.deepEqual([found.trainable, found.numbers, found.isolated], [512, 96, true]);
      assert.match(found.refused, /in a page/);
      const here = trainInWorker({
        model: `${ROOT}/embedded/model`,
        method: lora({ rank: 4 }),
        data: { records: [{ prompt: "customer: hello", completion: " agent: good morning" }], maxLength: 64 },
        training: { learningRate: 5e-3, batching: { kind: "buckets", batchSize: 1 }, epochs: 4 },
        backend: { name: "wasm" },
      });
      let step = 0;
      for await (const { loss } of here) {
        assert.ok(Math.abs(found.losses[step++]! - loss) < 1e-4, `step ${step}`);
      }
      assert.equal(found.losses.length, step);
      assert.equal(found.texts.length, 1);
      assert.ok(found.texts[0]!.length > 0);
    } finally {
      await server.shutdown();
    }
  });
}
