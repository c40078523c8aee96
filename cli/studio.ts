/** `graft studio`: a page that tunes in the browser, served on this machine or written as a folder for any host. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { isNonEmpty } from "../io/path_exists.ts";
import { installedFile } from "../platform/companion_package.ts";
import { environmentVariable } from "../platform/environment.ts";
import { isTaken, listenHttp } from "../platform/server.ts";
import { UsageError } from "../tuning/usage_error.ts";
import { type Command, integer, InvalidArgumentError, onePath, option, rare } from "./terminal/arguments.ts";
import { interruptible } from "./terminal/interrupt.ts";
import { print } from "./terminal/output.ts";

/** A file of the studio, below its folder. */
interface StudioFile {
  readonly path: string;
  readonly type: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

interface StudioFlags {
  readonly host: string;
  readonly port: number;
  readonly write?: string;
}

/** The package that has the studio's files, for those who have no clone. */
const PACKAGE = "@graft/studio";

/** What a page needs to share memory between its workers, and so to compute on all cores. */
export const ISOLATED: Readonly<Record<string, string>> = {
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-embedder-policy": "require-corp",
};

const ENDING = `
Examples:
  graft studio                  then open http://127.0.0.1:8090 in a browser
  graft studio --write public   the same as files for any host

A host that sends "Cross-Origin-Opener-Policy: same-origin" and
"Cross-Origin-Embedder-Policy: require-corp" lets the page compute on all
cores, as this command does; elsewhere it computes on one.`;

/** Registers the command. */
export function studio(program: Command): void {
  program.command("studio")
    .description("Tune in a browser's tab: serve the page, or write it as files")
    .option("--port <n>", "0 takes a free one", port, 8090)
    .addOption(rare(option("--host <address>", "where to listen", undefined, "127.0.0.1")))
    .option("--write <folder>", "write the page's files into a new folder, and stop", onePath)
    .addHelpText("after", ENDING)
    .action((flags: StudioFlags) => run(flags));
}

function port(text: string): number {
  const value = integer(0)(text);
  if (value > 65_535) throw new InvalidArgumentError(`Expected a port up to 65535 but found ${value}`);
  return value;
}

async function run(flags: StudioFlags): Promise<void> {
  if (flags.write !== undefined) return await writeStudio(flags.write);
  using interrupt = interruptible(() => stop.resolve());
  const stop = Promise.withResolvers<void>();
  const handle = studioHandler(await studioFiles(), hubOf());
  const server = await listenHttp({ host: flags.host, port: flags.port }, handle).catch((cause) => {
    throw isTaken(cause)
      ? new UsageError(`Cannot listen on port ${flags.port}: it is taken; choose another with --port`, {
        cause,
      })
      : cause;
  });
  print(`The studio is at http://${flags.host}:${server.port}; Ctrl-C stops`);
  if (!interrupt.wanted) await Promise.race([stop.promise, server.finished]);
  await server.shutdown();
}

/** Where the page fetches models; the public hub where nothing is said. */
const hubOf = (): string | undefined => environmentVariable("HF_ENDPOINT")?.replace(/\/+$/, "");

async function writeStudio(folder: string): Promise<void> {
  if (isNonEmpty(folder)) throw new UsageError(`Cannot write to ${folder}: it exists; give a new folder`);
  const files = await studioFiles();
  for (const { path, bytes } of files) {
    const target = join(folder, path);
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, bytes);
  }
  print(`${folder}: ${files.length} files; open index.html by any server of files`);
}

/**
 * The files as a function of the request, with the headers of cross-origin isolation unless told otherwise.
 *
 * @param hub The address of the model hub, in the page's own words.
 */
export function studioHandler(
  files: readonly StudioFile[],
  hub?: string,
  headers: Readonly<Record<string, string>> = ISOLATED,
): (request: Request) => Promise<Response> {
  const byPath = new Map(files.map((file) => [`/${file.path}`, file]));
  return (request) => {
    const { pathname } = new URL(request.url);
    const file = byPath.get(pathname === "/" ? "/index.html" : pathname);
    if (file === undefined) return Promise.resolve(new Response("not found", { status: 404, headers }));
    const body = file.path === "index.html" && hub !== undefined ? withHub(file.bytes, hub) : file.bytes;
    return Promise.resolve(
      new Response(body, {
        headers: { ...headers, "content-type": file.type, "content-length": String(body.length) },
      }),
    );
  };
}

/** The page with the hub's address in it. */
function withHub(page: Uint8Array, hub: string): Uint8Array<ArrayBuffer> {
  const attribute = `data-hub="${hub.replaceAll("&", "&amp;").replaceAll('"', "&quot;")}"`;
  return new TextEncoder().encode(new TextDecoder().decode(page).replace("<html ", `<html ${attribute} `));
}

/** The studio's files: built in a clone, else those of its package. @throws {UsageError} where that is not installed. */
export async function studioFiles(): Promise<readonly StudioFile[]> {
  const builder = new URL("../studio/build.ts", import.meta.url);
  // Computed, so that the library does not take the builder's bundler along.
  if (builder.protocol === "file:" && existsSync(builder)) {
    return (await import(builder.href)).buildStudio();
  }
  const page = installedFile(`${PACKAGE}/index.html`);
  if (page === undefined) {
    throw new UsageError(
      `Cannot find the studio: it is a package of its own, which is not installed here; "npm install ${PACKAGE}" or your ` +
        "package manager's like adds it",
    );
  }
  const folder = dirname(fileURLToPath(page));
  return readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).map(
    (entry) => {
      const path = join(entry.parentPath, entry.name).slice(folder.length + 1).replaceAll("\\", "/");
      return { path, type: typeOf(path), bytes: new Uint8Array(readFileSync(join(folder, path))) };
    },
  );
}

const TYPES: Readonly<Record<string, string>> = {
  html: "text/html; charset=utf-8",
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  json: "application/json",
};

const typeOf = (path: string): string => TYPES[path.split(".").at(-1) ?? ""] ?? "application/octet-stream";
