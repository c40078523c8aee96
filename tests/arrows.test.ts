/** The rooms of the house and the arrows between them: any other import fails here. */
import assert from "node:assert/strict";

/** What each room may import besides itself and npm packages. Rooms not named may import anything. */
const ARROWS: Readonly<Record<string, readonly string[]>> = {
  "tensor": [],
  // The one way round a backend without factorisations: ops/factorised.ts computes them on the reference backend.
  "ops": ["tensor", "ops/reference"],
  "ops/reference": ["tensor"],
  "ops/wasm": ["tensor"],
  // The same kernels compiled for the machine: only the machine under them is another.
  "ops/native": ["tensor", "ops/wasm"],
  "ops/gpu": ["tensor"],
  "numerics": ["tensor", "ops"],
  "core": ["tensor", "ops"],
  "methods": ["tensor", "ops", "numerics", "core"],
  "models": ["tensor", "core", "ops"],
  "formats": ["tensor", "core"],
  "train": ["tensor", "core", "ops"],
  "recipes": ["tensor", "core", "ops", "train", "methods"],
  "io": ["tensor", "core", "ops", "formats", "models", "methods"],
  "serve": ["tensor", "core", "ops", "formats", "models"],
};

const FREE = ["cli", "embedded", "bench", "notebooks", "tests", "mod.ts", "deno.json"];

const root = new URL("../", import.meta.url).href;

/** The room of a module inside the project, or undefined. */
function roomOf(specifier: string): string | undefined {
  if (!specifier.startsWith(root)) return undefined;
  const path = specifier.slice(root.length);
  const longest = Object.keys(ARROWS).filter((room) => path.startsWith(`${room}/`)).sort((a, b) =>
    b.length - a.length
  );
  return longest[0] ?? FREE.find((room) => path === room || path.startsWith(`${room}/`)) ?? path;
}

interface Module {
  readonly specifier: string;
  readonly dependencies?: readonly {
    readonly code?: { readonly specifier?: string };
    readonly type?: { readonly specifier?: string };
  }[];
}

async function modulesOf(entry: string): Promise<readonly Module[]> {
  const command = new Deno.Command(Deno.execPath(), { args: ["info", "--json", entry], cwd: new URL(root) });
  const { stdout, code } = await command.output();
  assert.equal(code, 0);
  return JSON.parse(new TextDecoder().decode(stdout)).modules;
}

Deno.test("modules import only what the arrows allow", async () => {
  const wrong = new Set<string>();
  const rooms = new Set<string>();
  for (const entry of ["mod.ts", "cli/main.ts", "ops/wasm/mod.ts"]) {
    for (const { specifier, dependencies = [] } of await modulesOf(entry)) {
      const from = roomOf(specifier);
      if (from === undefined) continue;
      rooms.add(from);
      assert.ok(from in ARROWS || FREE.includes(from), `${specifier} stands in no known room`);
      for (const dependency of dependencies) {
        const to = roomOf(dependency.code?.specifier ?? dependency.type?.specifier ?? "");
        if (to === undefined || to === from || FREE.includes(from)) continue;
        if (!ARROWS[from]!.includes(to)) wrong.add(`${from} -> ${to}: ${specifier.slice(root.length)}`);
      }
    }
  }
  assert.deepEqual([...wrong], []);
  for (const room of Object.keys(ARROWS)) assert.ok(rooms.has(room), `${room} was not seen`);
});

Deno.test("methods and models never import each other", async () => {
  for (const [room, other] of [["methods", "models"], ["models", "methods"]] as const) {
    for (const { specifier } of await modulesOf(`${room}/mod.ts`)) {
      assert.notEqual(roomOf(specifier), other, specifier);
    }
  }
});
