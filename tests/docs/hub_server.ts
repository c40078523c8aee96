/** A hub on the loopback interface: every repository holds the same folder, and what is committed to it is kept. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";

/** The server. Disposing stops it. */
export interface HubServer extends AsyncDisposable {
  readonly endpoint: string;
  /** Files that clients committed: repository and path → bytes. */
  readonly committed: ReadonlyMap<string, Uint8Array>;
}

const digest = (kind: string, ...parts: readonly (string | Uint8Array)[]): string =>
  parts.reduce((hash, part) => hash.update(part), createHash(kind)).digest("hex");

/** Serves a folder as the content of any model repository, by the hub's protocol for lists, files and commits. */
export function hubOf(folder: string): HubServer {
  const files = new Map(
    readdirSync(folder).map((name) => [name, readFileSync(`${folder}/${name}`)] as const),
  );
  const committed = new Map<string, Uint8Array>();
  const answer = async (request: Request): Promise<Response> => {
    const { pathname } = new URL(request.url);
    if (/^\/api\/models\/[^/]+\/[^/]+\/tree\//.test(pathname)) {
      return Response.json([...files].map(([path, bytes]) => ({
        type: "file",
        path,
        size: bytes.length,
        oid: digest("sha1", `blob ${bytes.length}\0`, bytes),
        ...bytes.length > 1_000_000 && {
          lfs: { oid: digest("sha256", bytes), size: bytes.length, pointerSize: 134 },
        },
      })));
    }
    if (pathname === "/api/repos/create") return Response.json({ url: pathname }, { status: 201 });
    if (pathname.includes("/preupload/")) {
      const asked: { files: readonly { path: string }[] } = await request.json();
      return Response.json({
        files: asked.files.map(({ path }) => ({ path, uploadMode: "regular", shouldIgnore: false })),
      });
    }
    const commit = /^\/api\/models\/([^/]+\/[^/]+)\/commit\//.exec(pathname)?.[1];
    if (commit !== undefined) {
      for (const line of (await request.text()).trim().split("\n")) {
        const { key, value } = JSON.parse(line);
        if (key === "file") committed.set(`${commit}/${value.path}`, Uint8Array.fromBase64(value.content));
      }
      return Response.json({ commitOid: "0".repeat(40), commitUrl: pathname, hookOutput: "" });
    }
    const name = /^\/[^/]+\/[^/]+\/resolve\/[^/]+\/(.+)$/.exec(pathname)?.[1];
    const bytes = files.get(name ?? "");
    return bytes === undefined ? Response.json({ error: "Not found" }, { status: 404 }) : new Response(bytes);
  };
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, answer);
  return {
    endpoint: `http://127.0.0.1:${server.addr.port}`,
    committed,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}
