/** Which backend is chosen, by what is here and by the environment. */
import assert from "node:assert/strict";
import process from "node:process";
import { auto, BACKEND_NAMES, chooseBackend } from "../../../ops/auto/mod.ts";
import { isNativeBuilt, native, whyNotNative } from "../../../ops/native/mod.ts";
import { deno } from "../../support/deno.ts";

/** Runs f with GRAFT_BACKEND set, or unset. */
async function under<T>(value: string | undefined, f: () => T | Promise<T>): Promise<T> {
  const before = process.env["GRAFT_BACKEND"];
  const set = (to: string | undefined): void => {
    if (to === undefined) delete process.env["GRAFT_BACKEND"];
    else process.env["GRAFT_BACKEND"] = to;
  };
  set(value);
  try {
    return await f();
  } finally {
    set(before);
  }
}

Deno.test("auto() starts native where it fits and wasm elsewhere, and says why", async () => {
  const lines: string[] = [];
  const backend = await under(undefined, () => auto({ threads: 1, onChoice: (line) => lines.push(line) }));
  try {
    assert.equal(backend.name, isNativeBuilt() ? "native" : "wasm");
    assert.equal(lines.length, 1);
    assert.match(lines[0]!, new RegExp(`^Computing on ${backend.name}.* `));
    assert.match(backend.kernels!, /^[0-9a-f]{8}/);
  } finally {
    backend.close();
  }
});

Deno.test({
  name: "auto() takes wasm where native kernels are in use in this thread",
  ignore: !isNativeBuilt(),
  fn: async () => {
    const first = native({ threads: 1 });
    try {
      const { name, line } = await under(undefined, chooseBackend);
      assert.equal(name, "wasm");
      assert.match(line, /one is open in this thread/);
    } finally {
      first.close();
    }
    assert.equal(await whyNotNative(), undefined);
  },
});

Deno.test("GRAFT_BACKEND chooses, and a name that is none is refused", async () => {
  for (const name of BACKEND_NAMES) {
    assert.equal((await under(name, chooseBackend)).name, name);
  }
  assert.deepEqual(await under("auto", chooseBackend), await under(undefined, chooseBackend));
  const backend = await under("reference", () => auto());
  assert.equal(backend.name, "reference");
  await assert.rejects(
    under("fast", () => auto()),
    {
      name: "RangeError",
      message: 'Expected GRAFT_BACKEND to be auto, wasm, native, reference or gpu but found "fast"',
    },
  );
});

Deno.test("a program without permissions computes on wasm and is asked nothing", async () => {
  const program = `import { auto } from ${
    JSON.stringify(new URL("../../../ops/auto/mod.ts", import.meta.url).href)
  };
const backend = await auto({ threads: 1, onChoice: console.log });
console.log(backend.name);
backend.close();
`;
  const url = `data:text/javascript,${encodeURIComponent(program)}`;
  const config = new URL("../../../deno.json", import.meta.url).pathname;
  const run = (...flags: string[]) =>
    deno(["run", "--quiet", "--no-prompt", "--config", config, ...flags, url], ".", {
      GRAFT_BACKEND: "reference",
    });
  const { code, said } = await run();
  assert.equal(code, 0, said);
  assert.match(
    said,
    /^Computing on wasm, because the program may not open libraries \(--allow-ffi\)\nwasm\n/,
  );
  assert.match(
    (await run("--allow-env=GRAFT_BACKEND")).said,
    /^Computing on reference: GRAFT_BACKEND says so\nreference\n/,
  );
});
