/**
 * All packages from a registry, in projects that know nothing of the clone: published to one of this machine, installed by Node 22
 * and 24, Bun and Deno with no other network, an empty home, no Rust and the clone hidden. `deno task test:registry`; it needs
 * Linux with namespaces and strace, Rust, npm's registry until the network goes, and some ten minutes.
 */
import assert from "node:assert/strict";
import { cpSync, existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { packageOf } from "../../ops/native/kernels.ts";
import process from "node:process";
import { answers } from "./local_registry.ts";
import { OLD, VERSION } from "./published.ts";
import {
  folder,
  inFolder,
  jupyter,
  openProject,
  place,
  REGISTRY,
  ROOT,
  runtimes,
  sandbox,
  serveSources,
  upstream,
} from "./registry_projects.ts";
import type { RuntimeTools } from "./runtime_tools.ts";

const NATIVE = packageOf(process.platform, process.arch)!;
const [node22, node24, bun] = runtimes as readonly [RuntimeTools, RuntimeTools, RuntimeTools];

const computed = (said: string): readonly string[] => said.split("\n").slice(1);

/** That no file of the clone was asked for in what strace wrote. */
function assertOpensNothingOfTheClone(trace: string): void {
  const lines = readFileSync(trace, "utf8").split("\n");
  assert.ok(lines.length > 20, "strace wrote nothing");
  assert.deepEqual(lines.filter((line) => line.includes(`${ROOT}/`)).slice(0, 3), []);
}

Deno.test("the sandbox has no clone, no Rust and no network, and a trace sees who asks for the clone", () => {
  const trace = `${folder}/own.trace`;
  const surroundings = { cwd: folder, path: [node24.path], trace };
  assert.notEqual(sandbox.try(["cat", `${ROOT}/deno.json`], surroundings).code, 0);
  assert.throws(() => assertOpensNothingOfTheClone(trace));
  assert.notEqual(sandbox.try(["sh", "-c", "command -v cargo rustc"], inFolder).code, 0);
  assert.notEqual(sandbox.try(["curl", "-s", "--max-time", "5", upstream], inFolder).code, 0);
  assert.equal(sandbox.run(["sh", "-c", "ls -A ~"], inFolder), "");
});

const printed: Record<string, { readonly trained: string; readonly native: string }> = {};

for (const runtime of runtimes) {
  const { name } = runtime;
  const project = openProject(runtime);
  let model = "";

  Deno.test(`${name} installs an older version, runs it, and updates to this one`, () => {
    project.run(runtime.add([`@graft/peft@${OLD}`, `@graft/embedded-model@${OLD}`]));
    assert.equal(project.graft(["--version"]), OLD);
    project.run(runtime.add([`@graft/peft@${VERSION}`, `@graft/embedded-model@${VERSION}`]));
    assert.equal(project.graft(["--version"]), VERSION);
    if (name === "Deno") return;
    for (const installed of ["@graft/peft", "@graft/embedded-model", NATIVE]) {
      const path = `${project.cwd}/node_modules/${installed}/package.json`;
      assert.equal(JSON.parse(readFileSync(path, "utf8")).version, VERSION, installed);
    }
  });

  Deno.test(`${name} trains LoRA, saves, loads and writes on WASM, and opens nothing of the clone`, () => {
    model = project.script("where.js");
    assert.ok(existsSync(`${model}/model.safetensors`), model);
    const trace = `${folder}/${name}.trace`;
    const said = project.script("train.js", [model], { trace });
    assertOpensNothingOfTheClone(trace);
    printed[name] = { ...printed[name]!, trained: said };
    if (runtime === bun) {
      assert.equal(said.split("\n").length, printed[node22.name]!.trained.split("\n").length);
    } else assert.equal(said, printed[node22.name]!.trained);
  });

  Deno.test(`${name} trains and writes in a worker, by a signal until it ends`, () => {
    const said = project.script("worker.js", [model]).split("\n");
    assert.deepEqual(said.slice(6, 10), ["16 awake", "true", "enough enough", "RangeError MODEL_NOT_FOUND"]);
  });

  Deno.test(`README's script runs in ${name}`, () => {
    assert.match(project.script("readme.js", [model]), /^(\d+\.\d+\n){6}/);
    assert.ok(existsSync(`${project.cwd}/adapter/adapter_config.json`));
  });

  Deno.test(`${name} computes natively by the platform's package, to the same bits`, () => {
    const trace = `${folder}/${name} native.trace`;
    const said = project.script("native.js", [model], { trace });
    assertOpensNothingOfTheClone(trace);
    assert.match(
      said,
      /^Computing on native: the kernels here fit this machine\nnative [0-9a-f]{8} \d+ lanes/,
    );
    printed[name] = { ...printed[name]!, native: said };
    assert.deepEqual(computed(said), computed(printed[node22.name]!.native));
  });

  Deno.test(`the command line trains and writes in ${name}, with the embedded model from its package`, () => {
    assert.match(project.graft(["methods", "-m", "embedded", "--wide"]), /^method .*MAdds\/token\n/);
    project.graft([
      "finetune",
      "-m",
      "embedded",
      "-d",
      "train.jsonl",
      "-o",
      "by-command",
      "--max-steps",
      "2",
    ]);
    const written = ["generate", "-a", "by-command", "-p", "Where is my parcel?", "--max-new-tokens", "8"];
    assert.ok(project.graft(written).length > 0);
  });

  Deno.test(`graft serve answers in ${name}`, async () => {
    const server = sandbox.start([...runtime.graft, "serve", "-m", "embedded", "--port", "0", "--json"], {
      cwd: project.cwd,
      path: [runtime.path],
      env: REGISTRY,
    });
    try {
      let said = "";
      const address = await new Promise<string>((found, failed) => {
        server.stdout!.on("data", (bytes) => {
          said += String(bytes);
          const [url] = /http:\/\/127\.0\.0\.1:\d+/.exec(said) ?? [];
          if (url !== undefined) found(url);
        });
        server.stderr!.on("data", (bytes) => said += String(bytes));
        server.once("close", () => failed(new Error(said)));
      });
      const texts: readonly string[] = JSON.parse(project.script("client.js", [address]));
      assert.deepEqual(texts.map((text) => text.length > 0), [true, true]);
    } finally {
      await sandbox.stop(server);
    }
  });

  if (name !== "Deno") {
    Deno.test(`without the platform's package the same project computes on WASM in ${name}`, () => {
      const installed = `${project.cwd}/node_modules/${NATIVE}`;
      renameSync(installed, `${folder}/removed`);
      try {
        assert.match(
          project.script("native.js", [model]),
          /^Computing on wasm, because no native kernels are built or installed here .*\nwasm /,
        );
      } finally {
        renameSync(`${folder}/removed`, installed);
      }
    });

    Deno.test(`without the embedded model's package ${name} says what to install`, () => {
      const installed = `${project.cwd}/node_modules/@graft/embedded-model`;
      renameSync(installed, `${folder}/removed`);
      try {
        const { code, noted } = sandbox.try([...runtime.graft, "methods", "-m", "embedded"], {
          cwd: project.cwd,
          path: [runtime.path],
          env: REGISTRY,
        });
        assert.notEqual(code, 0);
        assert.match(
          noted,
          /a package of its own, which is not installed here; "npm install @graft\/embedded-model"/,
        );
      } finally {
        renameSync(`${folder}/removed`, installed);
      }
    });
  }

  Deno.test(`two versions compute in one process of ${name}, and say so where their tensors meet`, () => {
    const project = openProject(runtime, `${name} twice`); // without the model, a peer of one version alone
    project.run(runtime.add([`@graft/peft@${VERSION}`]));
    project.run(
      name === "Deno"
        ? ["deno", "add", `graft-before@npm:@graft/peft@${OLD}`]
        : runtime.add([`graft-before@npm:@graft/peft@${OLD}`]),
    );
    const [same, mixed] = project.script("two_versions.js").split("\n");
    assert.equal(same, "true true");
    assert.match(mixed!, /backend/);
  });
}

Deno.test("Deno, from the web as from JSR, computes natively and finds the embedded model in its own cache", async () => {
  const [ofDeno] = runtimes.filter(({ name }) => name === "Deno");
  const project = openProject(ofDeno!, "Deno from the web");
  const port = place.port + 1;
  serveSources(`${folder}/web/@graft/peft/${VERSION}`);
  cpSync(new URL("web_server.js", import.meta.url), `${folder}/web_server.mjs`);
  const server = sandbox.start(["node", "web_server.mjs", `${folder}/web`, String(port)], inFolder);
  try {
    const url = `http://127.0.0.1:${port}/@graft/peft/${VERSION}/`;
    await answers(() => sandbox.try(["curl", "-sf", `${url}deno.json`], inFolder).code === 0);
    const imports = Object.fromEntries(
      ["", "ops/", "train/"].map((room) => [`@graft/peft/${room}`.replace(/\/$/, ""), `${url}${room}mod.ts`]),
    );
    writeFileSync(`${project.cwd}/deno.json`, JSON.stringify({ minimumDependencyAge: 0, imports }));
    // A program from the web has no deno.json that could say it.
    const trusting = [...ofDeno!.script, "--minimum-dependency-age=0"];
    const said = project.run([...trusting, `${url}cli/main.ts`, "methods", "-m", "embedded", "--wide"]);
    assert.match(said, /^method .*MAdds\/token\n/);
    const model = project.run([
      "sh",
      "-c",
      'dirname "$(find ~ -path "*embedded-model*" -name model.safetensors | head -n 1)"',
    ]);
    assert.equal(project.script("train.js", [model]), printed[node24.name]!.trained);
    const native = project.script("native.js", [model]);
    assert.match(native, /^Computing on native/);
    assert.deepEqual(computed(native), computed(printed[node24.name]!.native));
  } finally {
    await sandbox.stop(server);
  }
});

Deno.test("a notebook runs in an empty folder of Deno's, plots included", () => {
  const [ofDeno] = runtimes.filter(({ name }) => name === "Deno");
  const project = openProject(ofDeno!, "Deno notebook");
  for (const file of readdirSync(project.cwd)) if (file !== "deno.json") rmSync(`${project.cwd}/${file}`);
  project.run(ofDeno!.add([`@graft/peft@${VERSION}`, `@graft/embedded-model@${VERSION}`]));
  cpSync(`${jupyter}/notebook.ipynb`, `${project.cwd}/notebook.ipynb`);
  const trace = `${folder}/notebook.trace`;
  project.run(
    [`${jupyter}/bin/python`, `${jupyter}/execute.py`, "notebook.ipynb", "executed.ipynb", "graft-deno"],
    { env: { JUPYTER_PATH: jupyter, JUPYTER_PLATFORM_DIRS: "1" }, trace },
  );
  assertOpensNothingOfTheClone(trace);
  const ran = readFileSync(`${project.cwd}/executed.ipynb`, "utf8");
  const { cells } = JSON.parse(ran) as { readonly cells: readonly { readonly execution_count?: number }[] };
  const counts = cells.flatMap(({ execution_count: count }) => count === undefined ? [] : [count]);
  assert.deepEqual(counts, counts.map((_, i) => i + 1));
  assert.match(ran, /<svg [^>]*Training loss/);
  assert.match(ran, /60 steps/);
});

Deno.test("a project in pnpm's layout computes natively, and has the command line", () => {
  const project = openProject(node24, "pnpm");
  project.run(["pnpm", "add", "@graft/peft", "@graft/embedded-model"]);
  assert.ok(
    !existsSync(`${project.cwd}/node_modules/${NATIVE}`),
    "pnpm puts it beside graft, not beside the project",
  );
  const said = project.script("native.js", [project.script("where.js")]);
  assert.deepEqual(computed(said), computed(printed[node24.name]!.native));
  assert.match(project.run(["pnpm", "exec", "graft", "methods", "-m", "embedded", "--wide"]), /^method /);
});

Deno.test("a project whose node_modules is read-only trains", () => {
  const project = openProject(node24, "sealed");
  project.run(node24.add(["@graft/peft", "@graft/embedded-model"]));
  sandbox.seal(`${project.cwd}/node_modules`);
  assert.notEqual(sandbox.try(["touch", "node_modules/x"], { cwd: project.cwd, path: [] }).code, 0);
  const model = project.script("where.js");
  assert.equal(project.script("train.js", [model]), printed[node24.name]!.trained);
  assert.match(project.script("native.js", [model]), /^Computing on native/);
});

Deno.test("CommonJS reaches the package by require() and import()", () => {
  const project = openProject(node22, "commonjs");
  writeFileSync(`${project.cwd}/package.json`, JSON.stringify({ private: true }));
  project.run(node22.add(["@graft/peft"]));
  writeFileSync(
    `${project.cwd}/main.cjs`,
    'const { lora } = require("@graft/peft");\nimport("@graft/peft/ops").then(({ matmul }) => console.log(typeof lora, typeof matmul));\n',
  );
  assert.equal(project.script("main.cjs"), "function function");
});

Deno.test("Node 20 is told what it lacks", () => {
  const project = openProject(node24, "node 20");
  project.run(node24.add(["@graft/peft"]));
  writeFileSync(
    `${project.cwd}/lacks.js`,
    'import { wasm } from "@graft/peft";\nawait wasm({ threads: 1 }).catch(({ message }) => console.log(message));\n',
  );
  assert.match(
    project.run([`${folder}/runtimes/node_modules/node20/bin/node`, "lacks.js"]),
    /^Cannot compile the kernels: Node 20\.\d+\.\d+ lacks instructions that they have \(relaxed SIMD\); Deno 2, Node 22/,
  );
});
