/** The folders and the arrows between them: any other import fails here. */
import assert from "node:assert/strict";

/** What methods compute with. */
const MATHEMATICS = ["tensor", "ops", "numerics"] as const;
/** What every family of methods may import. */
const METHODS = [
  ...MATHEMATICS,
  "core",
  "core/options",
  "formats",
  "methods/shared",
  "methods/peft",
] as const;

/**
 * What each room may import besides itself and npm packages; "core/*" is core with all rooms in it. Rooms not named may import
 * anything.
 */
const ARROWS: Readonly<Record<string, readonly string[]>> = {
  "errors": [],
  "elementary": [],
  "platform": [],
  "tensor": [],
  // The one way round a backend without factorisations: ops/factorised.ts computes them on the reference backend.
  "ops": ["tensor", "ops/reference"],
  "ops/reference": ["tensor"],
  "ops/wasm": ["tensor", "platform"],
  // The same kernels compiled for the machine: only the machine under them is another.
  "ops/native": ["tensor", "ops/wasm", "platform"],
  "ops/auto": ["tensor", "ops/wasm", "ops/native", "ops/reference", "ops/gpu", "platform"],
  "ops/gpu": ["tensor"],
  "numerics": ["tensor", "ops"],
  // Each room of core may import those before it.
  "core/linear_maps": ["tensor", "ops"],
  "core/edits": ["tensor", "ops", "core/linear_maps"],
  "core/trees": ["tensor", "ops", "core/edits"],
  "core/places": ["tensor", "ops", "core/linear_maps", "core/edits", "core/trees"],
  "core/options": ["core/trees"],
  "core/adapters": [
    "tensor",
    "ops",
    "core/linear_maps",
    "core/edits",
    "core/trees",
    "core/places",
    "core/options",
  ],
  "core/combinators": [
    "tensor",
    "ops",
    "core/linear_maps",
    "core/edits",
    "core/trees",
    "core/options",
    "core/adapters",
  ],
  "core/running": [
    "tensor",
    "ops",
    "core/edits",
    "core/trees",
    "core/places",
    "core/adapters",
    "core/combinators",
  ],
  "core": [
    "tensor",
    "core/linear_maps",
    "core/edits",
    "core/trees",
    "core/places",
    "core/adapters",
    "core/combinators",
    "core/running",
  ],
  "methods/shared": [...MATHEMATICS, "core", "core/options"],
  "methods/peft": ["core", "core/options", "formats"],
  "methods/rescaling": METHODS,
  "methods/selective": METHODS,
  "methods/structured": [...METHODS, "methods/selective"],
  "methods/soft_prompts": METHODS,
  "methods/side_networks": [...METHODS, "methods/low_rank"],
  "methods/low_rank": [...METHODS, "methods/selective"],
  "methods/adapters": [...METHODS, "methods/structured", "methods/selective"],
  "methods/hybrids": [
    ...METHODS,
    "methods/selective",
    "methods/soft_prompts",
    "methods/low_rank",
    "methods/adapters",
  ],
  // AdapterHub's configurations are for several methods each, and for gates of them.
  "methods/adapterhub": [
    ...METHODS,
    "methods/rescaling",
    "methods/soft_prompts",
    "methods/low_rank",
    "methods/adapters",
    "methods/hybrids",
  ],
  "methods": [
    "core",
    "core/combinators",
    "numerics",
    "formats",
    "methods/shared",
    "methods/peft",
    "methods/rescaling",
    "methods/selective",
    "methods/structured",
    "methods/soft_prompts",
    "methods/side_networks",
    "methods/low_rank",
    "methods/adapters",
    "methods/hybrids",
    "methods/adapterhub",
  ],
  "models": ["tensor", "ops", "core/*"],
  "formats": ["platform", "tensor", "core"],
  "train": ["platform", "tensor", "core", "ops"],
  "distributed": ["platform", "core", "ops", "train"],
  "recipes": ["tensor", "ops", "core", "train", "methods/*"],
  "io": ["platform", "tensor", "ops", "core", "core/options", "formats", "models", "methods/*"],
  "serve": ["tensor", "ops", "core/*", "formats", "models"],
  "tuning": [
    "tensor",
    "ops",
    "core",
    "core/options",
    "formats",
    "models",
    "methods/*",
    "train",
    "recipes",
    "io",
  ],
  "worker": [
    "platform",
    "ops/*",
    "core",
    "core/options",
    "formats",
    "train",
    "recipes",
    "io",
    "tuning",
  ],
  // The studio: a page that knows types alone of its worker, and the worker, over a tab's files.
  "studio/files": [],
  "studio/node": ["studio/files"],
  "studio/page": ["studio"],
  "studio/worker": [
    ...[
      "studio",
      "studio/files",
      "studio/node",
      "cli",
      "tuning",
      "io",
      "formats",
      "recipes",
      "train",
      "models",
    ],
    ...["methods/*", "core/*"],
  ],
};

const FREE = ["cli", "embedded", "bench", "notebooks", "studio", "tests", "mod.ts", "deno.json"];

const root = new URL("../", import.meta.url).href;

/** What every room may import. */
const EVERYWHERE = ["errors", "elementary"];

/** Whether a list of rooms has one, by its name or by the room around it. */
const allows = (rooms: readonly string[], to: string): boolean =>
  rooms.some((room) => room === to || (room.endsWith("/*") && `${to}/`.startsWith(room.slice(0, -1))));

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
  const command = new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", "--config", "deno.json", entry],
    cwd: new URL(root),
  });
  const { stdout, code } = await command.output();
  assert.equal(code, 0);
  return JSON.parse(new TextDecoder().decode(stdout)).modules;
}

Deno.test("modules import only what the arrows allow", async () => {
  const wrong = new Set<string>();
  const rooms = new Set<string>();
  const workers = ["worker/mod.ts", "worker/program.ts", "studio/worker/main.ts", "studio/page/main.tsx"];
  for (const entry of ["mod.ts", "cli/main.ts", "ops/wasm/mod.ts", ...workers]) {
    for (const { specifier, dependencies = [] } of await modulesOf(entry)) {
      const from = roomOf(specifier);
      if (from === undefined) continue;
      rooms.add(from);
      assert.ok(from in ARROWS || FREE.includes(from), `${specifier} stands in no known room`);
      for (const dependency of dependencies) {
        const to = roomOf(dependency.code?.specifier ?? dependency.type?.specifier ?? "");
        if (to === undefined || to === from || FREE.includes(from) || EVERYWHERE.includes(to)) continue;
        if (!allows(ARROWS[from]!, to)) wrong.add(`${from} -> ${to}: ${specifier.slice(root.length)}`);
      }
    }
  }
  assert.deepEqual([...wrong], []);
  for (const room of Object.keys(ARROWS)) assert.ok(rooms.has(room), `${room} was not seen`);
});

Deno.test("the arrows themselves lead in no circle, so that none runs up", () => {
  const rooms = Object.keys(ARROWS);
  const arrows = rooms.map((from) =>
    [from, rooms.filter((to) => to !== from && allows(ARROWS[from]!, to))] as const
  );
  assert.deepEqual(circlesOf(new Map(arrows)), []);
});

Deno.test("methods and models never import each other", async () => {
  for (const [room, other] of [["methods", "models"], ["models", "methods"]] as const) {
    for (const { specifier } of await modulesOf(`${room}/mod.ts`)) {
      assert.notEqual(roomOf(specifier), other, specifier);
    }
  }
});

/** Folders of what others wrote or built. */
const FOREIGN = ["node_modules", "target"];

/** Every TypeScript file below a folder, as a URL. */
function* filesBelow(folder: URL): Generator<string> {
  for (const { name, isDirectory } of Deno.readDirSync(folder)) {
    if (name.startsWith(".") || FOREIGN.includes(name)) continue;
    if (isDirectory) yield* filesBelow(new URL(`${name}/`, folder));
    else if (/\.tsx?$/.test(name) && !name.endsWith(".d.ts")) yield new URL(name, folder).href;
  }
}

/** What each of the project's modules imports, by value or by type; programs and tests that nothing imports are there, too. */
async function importsOfAll(): Promise<ReadonlyMap<string, readonly string[]>> {
  const entry = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    const files = [...filesBelow(new URL(root))];
    await Deno.writeTextFile(entry, files.map((file) => `import ${JSON.stringify(file)};`).join("\n"));
    const own = (await modulesOf(entry)).filter(({ specifier }) => specifier.startsWith(root));
    const imports = new Map(
      own.map(({ specifier, dependencies = [] }) => [
        specifier.slice(root.length),
        dependencies.flatMap(({ code, type }) => [code?.specifier, type?.specifier])
          .filter((to) => to?.startsWith(root)).map((to) => to!.slice(root.length)),
      ]),
    );
    for (const file of files) assert.ok(imports.has(file.slice(root.length)), `${file} was not seen`);
    return imports;
  } finally {
    await Deno.remove(entry);
  }
}

/** A circle for each edge that leads back to a file on the way to it. */
function circlesOf(imports: ReadonlyMap<string, readonly string[]>): readonly string[] {
  const circles: string[] = [];
  const done = new Set<string>();
  const visit = (file: string, way: readonly string[]): void => {
    const before = way.indexOf(file);
    if (before !== -1) circles.push([...way.slice(before), file].join(" -> "));
    if (before !== -1 || done.has(file)) return;
    for (const next of imports.get(file) ?? []) visit(next, [...way, file]);
    done.add(file);
  };
  for (const file of imports.keys()) visit(file, []);
  return circles;
}

Deno.test("no files import each other in a circle, by value or by type", async () => {
  assert.deepEqual(circlesOf(new Map([["a", ["b"]], ["b", ["c"]], ["c", ["b"]]])), ["b -> c -> b"]);
  assert.deepEqual(circlesOf(new Map([["a", ["b", "c"]], ["b", ["c"]]])), []);
  assert.deepEqual(circlesOf(await importsOfAll()), []);
});

Deno.test("of methods only their forms in folders know formats", async () => {
  const wrong = [...await importsOfAll()].flatMap(([file, imports]) =>
    file.startsWith("methods/") && !/_(peft|adapterhub)\.ts$/.test(file) &&
      !/^methods\/(peft|adapterhub)/.test(file) &&
      imports.some((to) => to.startsWith("formats/"))
      ? [file]
      : []
  );
  assert.deepEqual(wrong, []);
});
