/** `graft serve`: a model and its adapters behind OpenAI's HTTP interface, on this machine. */
import { type Adapter, graft, memory, type Model } from "../core/mod.ts";
import { contextLength } from "../models/mod.ts";
import { engine } from "../serve/engine.ts";
import { respond } from "../serve/handler.ts";
import type { Service } from "../serve/service.ts";
import type { VectorMaker } from "../serve/embeddings.ts";
import { localCopy } from "../io/local_path.ts";
import { embeddedIds, embedderOf, embeddingForm, embedTexts } from "../io/sentence_transformers.ts";
import type { Tokenizer } from "../formats/tokenizer.ts";
import {
  bytes,
  type Command,
  helpAll,
  integer,
  InvalidArgumentError,
  option,
  rare,
} from "./terminal/arguments.ts";
import { UsageError } from "../tuning/usage_error.ts";
import { interruptible } from "./terminal/interrupt.ts";
import {
  methodFileOption,
  type ModelFlags,
  modelFlags,
  type Opened,
  openModel,
  outsideOption,
} from "./load.ts";
import { baseName, checkNames, loadNamed, type NamedAdapter, namedAdapter } from "./named_adapters.ts";
import { ADAPTERS_BASE, modelSource } from "./model_source.ts";
import { note, print, showBytes } from "./terminal/output.ts";
import { type HttpServer, isTaken, listenHttp } from "../platform/server.ts";
import { failure, typeError } from "../errors/error.ts";

const EXAMPLE = `
Example:
  graft serve -m model.gguf --adapter polite=adapter-1 --adapter brief=adapter-2
  curl http://127.0.0.1:8080/v1/chat/completions \\
    -H 'content-type: application/json' \\
    -d '{"model": "polite", "messages": [{"role": "user", "content": "Hello"}]}'

A request names what it wants as "model": "base" for the bare model, "polite" or
"base:polite" for an adapter. Point any OpenAI client at
http://127.0.0.1:8080/v1 with any key. Ctrl-C finishes the texts that are being
written; a second one ends at once.`;

interface ServeFlags extends ModelFlags {
  readonly adapter?: readonly NamedAdapter[];
  readonly name?: string;
  readonly host: string;
  readonly port: number;
  readonly rows: number;
  readonly queue: number;
  readonly maxLength?: number;
  readonly maxBody: number;
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
    .addOption(rare(option("--max-body <size>", "largest body of a request", bytes, 4 << 20)))
    .option("--json", "print where it listens and what it serves as JSON, and a line for each request");
  helpAll(command).addHelpText("after", EXAMPLE).action(() => run(command.opts<ServeFlags>()));
}

async function run(flags: ServeFlags): Promise<void> {
  const { adapter: adapters = [], ...rest } = flags;
  checkNames([], adapters);
  const [first] = adapters;
  const source = await modelSource({ ...rest, ...first && { adapter: first.source } });
  const base = flags.name ?? (flags.model === "embedded" ? "embedded" : baseName(source));
  checkNames([base], adapters);
  const opened = await openModel({ ...rest, model: source });
  try {
    await listen(flags, base, opened, await loadNamed(adapters, opened, flags));
  } finally {
    opened.close();
  }
}

async function listen(
  flags: ServeFlags,
  base: string,
  { base: model, backend }: Opened,
  adapters: Readonly<Record<string, Adapter>>,
): Promise<void> {
  if (!model.spec.stacks.some(({ stack }) => stack === "decoder")) {
    throw typeError("INVALID_ARGUMENT", `Cannot serve ${model.architecture.name}: it writes no text`);
  }
  model.tokenizer.encode(""); // throws here if the model has no tokenizer
  const context = contextLength(model);
  const maxLength = flags.maxLength ?? Math.min(context, 1 << 20);
  if (maxLength > context) {
    throw new UsageError(
      `Expected --max-length of at most ${context}, the model's context, but found ${maxLength}`,
    );
  }
  const running = engine(model, { adapters, rows: flags.rows, queue: flags.queue });
  const names = Object.keys(adapters);
  const stop = Promise.withResolvers<void>();
  using interrupt = interruptible(() => stop.resolve());
  const service: Service = {
    model,
    vectors: await vectorsOf(model, adapters),
    engine: running,
    base,
    adapters: names,
    maxLength,
    maxBytes: flags.maxBody,
    began: now(),
    now,
    seed: () => crypto.getRandomValues(new Uint32Array(1))[0]!,
    id: () => crypto.randomUUID().replaceAll("-", ""),
    stopping: () => interrupt.wanted,
  };
  const server = await started(flags, async (request) => {
    const start = performance.now();
    const response = await respond(service, request);
    log(flags, request, response.status, performance.now() - start);
    return response;
  });
  const { port } = server;
  const host = flags.host.includes(":") ? `[${flags.host}]` : flags.host;
  const url = `http://${host}:${port}/v1`;
  if (flags.json === true) print(JSON.stringify({ url, models: [base, ...names], maxLength }));
  else {
    print(`Listening on ${url}`);
    print(`Models: ${[base, ...names].join(", ")} (${showBytes(memory(backend).live)}); Ctrl-C stops`);
  }
  const failed = server.finished.then(() => {}); // rejects when the listener fails
  await Promise.race([stop.promise, failed]);
  const { waiting, writing } = running.load;
  if (waiting + writing > 0) note(`Finishing ${waiting + writing} texts; Ctrl-C again ends at once`);
  await server.shutdown();
  await running.close();
}

/** Vectors as the model's folder says, or of the last token's state. */
async function vectorsOf(
  model: Model<Tokenizer>,
  adapters: Readonly<Record<string, Adapter>>,
): Promise<VectorMaker> {
  const form = await embeddingForm(await localCopy(model.source ?? "") ?? "");
  return {
    embed: async (texts, adapter) => {
      const tuned = adapter === null ? model : graft(model, adapters[adapter]!);
      const embedder = embedderOf(tuned, { pooling: "last", ...form });
      const tokens = texts.reduce((sum, text) => sum + embeddedIds(embedder, text).length, 0);
      return { vectors: await embedTexts(embedder, texts), tokens };
    },
  };
}

/** Seconds since 1970. */
const now = (): number => Math.floor(Date.now() / 1000);

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

function port(text: string): number {
  const value = integer(0)(text);
  if (value > 65_535) throw new InvalidArgumentError(`Expected a port up to 65535 but found ${value}`);
  return value;
}
