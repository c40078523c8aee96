/** `graft serve`: a model and its adapters behind OpenAI's HTTP interface, on this machine. */
import { withCors } from "../serve/cors.ts";
import { type HttpServer, isTaken, listenHttp } from "../platform/server.ts";
import { startOwnThread } from "../platform/own_thread.ts";
import {
  bytes,
  type Command,
  helpAll,
  integer,
  InvalidArgumentError,
  option,
  rare,
} from "./terminal/arguments.ts";
import { interruptible } from "./terminal/interrupt.ts";
import { methodFileOption, type ModelFlags, modelFlags, outsideOption } from "./load.ts";
import { baseName, checkNames, type NamedAdapter, namedAdapter } from "./named_adapters.ts";
import { ADAPTERS_BASE, modelSource } from "./model_source.ts";
import { exactOption } from "./text_flags.ts";
import type { Ready, Serving } from "./serve/computing.ts";
import { type FromAnswering, type Relay, relay, type ToAnswering } from "./serve/relay.ts";
import { note, print, showBytes, showUnits } from "./terminal/output.ts";
import { failure } from "../errors/error.ts";
import { errorOf, type ThreadError } from "./thread_errors.ts";

const EXAMPLE = `
Example:
  graft serve -m model.gguf --adapter polite=adapter-1 --adapter brief=adapter-2
  curl http://127.0.0.1:8080/v1/chat/completions \\
    -H 'content-type: application/json' \\
    -d '{"model": "polite", "messages": [{"role": "user", "content": "Hello"}]}'

A request names what it wants as "model": "base" for the bare model, "polite" or
"base:polite" for an adapter. Point any OpenAI client at
http://127.0.0.1:8080/v1 with any key. Ctrl-C finishes the texts that are being
written; a second one ends at once. Without sampling fields in a request the
model's generation_config.json decides, or the likeliest token is taken.`;

interface ServeFlags extends ModelFlags {
  readonly adapter?: readonly NamedAdapter[];
  readonly name?: string;
  readonly host: string;
  readonly port: number;
  readonly rows: number;
  readonly queue: number;
  readonly maxLength?: number;
  readonly maxTokens: number;
  readonly maxBody: number;
  readonly cors?: readonly string[];
  readonly exact?: true;
  readonly json?: true;
}

/** Registers the command. */
export function serve(program: Command): void {
  const command = program.command("serve")
    .description("Answer requests of OpenAI clients, under many adapters at once");
  modelFlags(command, ADAPTERS_BASE)
    .option(
      "-a, --adapter <name=folder>",
      "an adapter and the name to ask for it by; default its folder's; may be repeated",
      namedAdapter,
    )
    .addOption(rare(outsideOption())).addOption(rare(methodFileOption()))
    .addOption(rare(option("--name <name>", 'of the bare model, beside "base"; default its file\'s')))
    .option("--port <n>", "0 takes a free one", port, 8080)
    .addOption(
      rare(
        option(
          "--host <address>",
          "where to listen; others than this machine can reach 0.0.0.0",
          undefined,
          "127.0.0.1",
        ),
      ),
    )
    .option("--rows <n>", "texts written at once", integer(), 8)
    .option("--queue <n>", "requests that wait; more are refused with status 429", integer(0), 64)
    .option(
      "--max-length <n>",
      "most tokens of a prompt and its text; default the model's context",
      integer(2),
    )
    .option("--max-tokens <n>", "longest answer to a chat that names no max_tokens", integer(), 1024)
    .addOption(
      option("--cors <origin>", "whose pages may ask, or '*'; may be repeated", origin),
    )
    .addOption(exactOption())
    .addOption(rare(option("--max-body <size>", "largest body of a request", bytes, 4 << 20)))
    .option("--json", "print where it listens and what it serves as JSON, and a line for each request");
  helpAll(command).addHelpText("after", EXAMPLE).action(() => run(command.opts<ServeFlags>()));
}

async function run(flags: ServeFlags): Promise<void> {
  const { adapter: adapters = [], name, cors = [], ...rest } = flags;
  checkNames([], adapters);
  const [first] = adapters;
  const model = await modelSource({ ...rest, ...first && { adapter: first.source } });
  const base = name ?? (flags.model === "embedded" ? "embedded" : baseName(model));
  checkNames([base], adapters);
  const serving: Serving = { ...rest, model, base, adapters };
  const ready = Promise.withResolvers<Ready>();
  const closed = Promise.withResolvers<void>();
  const broken = Promise.withResolvers<never>();
  broken.promise.catch(() => {}); // it may break before it is awaited
  const fail = (error: unknown): void => {
    ready.reject(error);
    broken.reject(error);
    between.fail(error);
  };
  const hear = (message: Ready | ThreadError | FromAnswering): void => {
    if (message.kind === "ready") ready.resolve(message);
    else if (message.kind === "failed") fail(errorOf(message));
    else if (message.kind === "closed") closed.resolve();
    else between.hear(message);
  };
  const thread = startOwnThread(
    new URL("./main.ts", import.meta.url),
    "serve",
    serving,
    (message) => hear(message as Ready | ThreadError | FromAnswering),
    fail,
  );
  const between = relay(thread.post);
  try {
    await listen(flags, cors, await ready.promise, between, thread.post, broken.promise);
    thread.post({ kind: "close" });
    await Promise.race([closed.promise, broken.promise]);
  } finally {
    await thread.end();
  }
}

async function listen(
  flags: ServeFlags,
  cors: readonly string[],
  { models, maxLength, bytes }: Ready,
  between: Relay,
  post: (message: ToAnswering) => void,
  broken: Promise<never>,
): Promise<void> {
  const stop = Promise.withResolvers<void>();
  using interrupt = interruptible(() => {
    post({ kind: "stopping" });
    stop.resolve();
  });
  const answer = async (request: Request): Promise<Response> =>
    request.method === "GET" && isHealth(request)
      ? Response.json({ status: interrupt.wanted ? "stopping" : "ok", ...between.load })
      : await between.respond(request, flags.maxBody);
  const server = await started(flags, async (request) => {
    const start = performance.now();
    const response = await withCors(cors, request, () => answer(request));
    log(flags, request, response.status, performance.now() - start);
    return response;
  });
  const { port } = server;
  const host = flags.host.includes(":") ? `[${flags.host}]` : flags.host;
  const url = `http://${host}:${port}/v1`;
  if (flags.json === true) print(JSON.stringify({ url, models, maxLength }));
  else {
    print(`Listening on ${url}`);
    print(`Models: ${models.join(", ")} (${showBytes(bytes)}); Ctrl-C stops`);
  }
  const failed = server.finished.then(() => {}); // rejects when the listener fails
  await Promise.race([stop.promise, failed, broken]);
  const { waiting, writing } = between.load;
  if (waiting + writing > 0) {
    note(`Finishing ${showUnits(waiting + writing, "text")}; Ctrl-C again ends at once`);
  }
  await server.shutdown();
}

/** Whether a request asks for the server's health, which is answered while the other thread computes. */
const isHealth = ({ url }: Request): boolean => URL.parse(url)?.pathname.replace(/\/$/, "") === "/health";

/** @throws {Error} when the port is in use or the address does not belong to this machine. */
async function started(
  { host, port }: ServeFlags,
  handle: (request: Request) => Promise<Response>,
): Promise<HttpServer> {
  try {
    return await listenHttp({ host, port }, handle);
  } catch (cause) {
    const why = isTaken(cause) ? "the port is taken; choose another with --port" : cause;
    throw failure(
      "INVALID_ARGUMENT",
      `Cannot listen on ${host}:${port}: ${why instanceof Error ? why.message : why}`,
      {
        cause,
      },
    );
  }
}

function log({ json }: ServeFlags, request: Request, status: number, milliseconds: number): void {
  const path = URL.parse(request.url)?.pathname ?? "?";
  if (json === true) print(JSON.stringify({ method: request.method, path, status, milliseconds }));
  else note(`${request.method} ${path} ${status} ${(milliseconds / 1000).toFixed(2)} s`);
}

/** Adds an origin to those before it. */
function origin(text: string, before: readonly string[] = []): readonly string[] {
  const url = URL.parse(text);
  if (text !== "*" && (url === null || url.origin !== text)) {
    throw new InvalidArgumentError(
      `Expected an origin such as https://example.org, or "*", but found "${text}"`,
    );
  }
  return [...before, text];
}

function port(text: string): number {
  const value = integer(0)(text);
  if (value > 65_535) throw new InvalidArgumentError(`Expected a port up to 65535 but found ${value}`);
  return value;
}
