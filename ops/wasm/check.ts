/**
 * Compares `lib/SOURCE_HASH.json` with the kernels' sources, so that they are only committed together. Exits
 * with 1 when they differ. `--write` (from build.sh) records the current state and the versions of the tools;
 * `--print` (from tools/native_library.ts) prints the hash of the sources.
 *
 * @module
 */
import { createHash } from "node:crypto";

interface Record {
  readonly sources: string;
  readonly modules: { readonly [file: string]: string };
  readonly tools: { readonly [tool: string]: string };
}

const here = new URL("./", import.meta.url);
const recordFile = new URL("lib/SOURCE_HASH.json", here);

/** Names of the sources, sorted. */
function sources(): readonly string[] {
  const kernels = [...Deno.readDirSync(new URL("crate/src/", here))].map((entry) =>
    `crate/src/${entry.name}`
  );
  return ["build.sh", "flags.sh", "crate/Cargo.toml", "crate/Cargo.lock", ...kernels].sort();
}

function hash(files: readonly string[]): string {
  const sum = createHash("sha256");
  for (const file of files) {
    const bytes = Deno.readFileSync(new URL(file, here));
    sum.update(`${file}\0${bytes.length}\0`).update(bytes);
  }
  return sum.digest("hex");
}

const modules = (): Record["modules"] =>
  Object.fromEntries(["single", "threaded"].map((build) => [build, hash([`lib/${build}.ts`])]));

function version(command: string): string {
  const { stdout } = new Deno.Command(command, { args: ["--version"] }).outputSync();
  return new TextDecoder().decode(stdout).trim().split(" ")[1] ?? "unknown";
}

if (Deno.args.includes("--write")) {
  const tools = { rustc: version("rustc"), "wasm-bindgen": version("wasm-bindgen") };
  const record: Record = { sources: hash(sources()), modules: modules(), tools };
  Deno.writeTextFileSync(recordFile, JSON.stringify(record, undefined, 2) + "\n");
} else if (Deno.args.includes("--print")) {
  console.log(hash(sources()));
} else {
  const record: Record = JSON.parse(Deno.readTextFileSync(recordFile));
  if (record.sources !== hash(sources())) {
    console.error("ops/wasm/lib is older than ops/wasm/crate: run 'deno task wasm' and commit lib/");
    Deno.exit(1);
  }
  if (JSON.stringify(record.modules) !== JSON.stringify(modules())) {
    console.error("ops/wasm/lib was not written by build.sh: run 'deno task wasm' and commit lib/");
    Deno.exit(1);
  }
  console.log(`ops/wasm/lib matches its sources (rustc ${record.tools["rustc"]})`);
}
