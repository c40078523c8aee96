/**
 * docs/cluster.md, its commands run by a shell on tiny data: those that share runs out, and those of mpirun where it is installed.
 * The two machines of the file of hosts are this one. What Slurm starts, `deno task test:cluster` runs.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { graftArguments, temporaryFolder, tinyData, tinyModel } from "../cli/tiny.ts";
import { digest, LAUNCHERS } from "../distributed/mpirun.ts";
import { type Block, blocksOf } from "./blocks.ts";

const FILE = "docs/cluster.md";
const BLOCKS = blocksOf(FILE, readFileSync(fileURLToPath(new URL(`../../${FILE}`, import.meta.url)), "utf8"));
const OPEN_MPI = LAUNCHERS.some(([command]) => command.includes("openmpi"));

/** A folder with `model`, `train.jsonl` and a shell that knows `graft` and `mpirun`. */
function workplace():
  & { readonly run: (block: Block) => Promise<string>; readonly path: string }
  & Disposable {
  const folder = temporaryFolder();
  const { path } = folder;
  tinyModel(path);
  writeFileSync(`${path}/train.jsonl`, readFileSync(tinyData(path)));
  const program = (name: string, line: string): void =>
    writeFileSync(`${path}/${name}`, `#!/bin/sh\nexec ${line} "$@"\n`, { mode: 0o755 });
  program("graft", [Deno.execPath(), ...graftArguments([])].join(" "));
  if (OPEN_MPI) program("mpirun", "mpirun.openmpi --allow-run-as-root --oversubscribe");
  const env = { PATH: `${path}:${Deno.env.get("PATH")}`, GRAFT_BACKEND: "wasm", NO_COLOR: "1" };
  return {
    path,
    run: async ({ text, line }) => {
      const { code, stdout, stderr } = await new Deno.Command("bash", { args: ["-ec", text], cwd: path, env })
        .output();
      const said = new TextDecoder().decode(stdout);
      assert.equal(code, 0, `${FILE}:${line}: ${said}${new TextDecoder().decode(stderr)}`);
      return said;
    },
    [Symbol.dispose]: folder[Symbol.dispose],
  };
}

Deno.test("the commands of docs/cluster.md that share runs out end with the table of all points", async () => {
  using place = workplace();
  const blocks = BLOCKS.filter(({ language }) => language === "sh");
  assert.equal(blocks.length, 3);
  for (const block of blocks) {
    for (const folder of ["out", "results"]) {
      rmSync(`${place.path}/${folder}`, { recursive: true, force: true });
    }
    const said = await place.run(block);
    if (block.text.includes("graft compare")) {
      for (const name of ["LoRA", "DoRA", "(IA)³"]) assert.ok(said.includes(name), said);
    } else {
      // Three ranks under two seeds each.
      assert.equal(said.match(/^\s*(4|8|16)\s+[01]\s/gm)!.length % 6, 0, said);
    }
  }
});

Deno.test({
  name: "the commands of docs/cluster.md that start mpirun train the adapter of one process",
  ignore: !OPEN_MPI,
  fn: async () => {
    const blocks = BLOCKS.filter(({ language, text }) => language === "text" && /^mpirun /m.test(text));
    assert.equal(blocks.length, 2);
    for (const block of blocks) {
      using place = workplace();
      const text = block.text.replace("'one slots=1\\ntwo slots=1\\n'", "'localhost slots=2\\n'");
      await place.run({ ...block, text });
      const trained = digest(`${place.path}/adapter`);
      rmSync(`${place.path}/adapter`, { recursive: true });
      await place.run({ ...block, text: text.replace(/^mpirun .*?(?=graft )/m, "") });
      assert.equal(digest(`${place.path}/adapter`), trained);
      assert.ok(existsSync(`${place.path}/adapter/adapter_config.json`));
    }
  },
});
