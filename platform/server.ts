/** HTTP servers: Deno's own in Deno, `node:http` by way of srvx elsewhere. */
import { deno } from "./deno.ts";
import { systemCode } from "./files.ts";

/** A server that listens. */
export interface HttpServer {
  readonly port: number;
  /** Rejects when the listener fails. */
  readonly finished: Promise<void>;
  /** Ends after the requests that are being answered. */
  shutdown(): Promise<void>;
}

/** Where to listen; port 0 takes a free one. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** @throws {Error} with the code EADDRINUSE when the port is taken, and with others when the address is not this machine's. */
export async function listenHttp(
  address: Address,
  handle: (request: Request) => Promise<Response>,
): Promise<HttpServer> {
  return deno === undefined ? await listenByNode(address, handle) : listenByDeno(address, handle);
}

/** Whether the port is in use. */
export const isTaken = (error: unknown): boolean => systemCode(error) === "EADDRINUSE";

const failed = (): Response => new Response(null, { status: 500 });

/** See `listenHttp`. */
export function listenByDeno(
  { host: hostname, port }: Address,
  handle: (request: Request) => Promise<Response>,
): HttpServer {
  const server = deno!.serve({ hostname, port, onListen: () => {}, onError: failed }, handle);
  return {
    port: (server.addr as { readonly port: number }).port,
    finished: server.finished,
    shutdown: () => server.shutdown(),
  };
}

/** See `listenHttp`. */
export async function listenByNode(
  { host: hostname, port }: Address,
  fetch: (request: Request) => Promise<Response>,
): Promise<HttpServer> {
  const { serve } = await import("srvx/node");
  const server = serve({ hostname, port, fetch, error: failed, silent: true, gracefulShutdown: false });
  await server.ready();
  const listener = server.node!.server!;
  return {
    port: Number(new URL(server.url!).port),
    finished: new Promise((done, broken) => listener.once("close", done).once("error", broken)),
    shutdown: async () => {
      const closed = server.close();
      if ("closeIdleConnections" in listener) listener.closeIdleConnections();
      await closed;
    },
  };
}
