/** A tiny model with two adapters behind the HTTP interface, in this process. */
import {
  type Adapter,
  generate,
  graft,
  keep,
  key,
  type Model,
  scope,
  type Synchronous,
  type Tree,
} from "../../core/mod.ts";
import type { Tokenizer } from "../../formats/tokenizer.ts";
import { loadModel } from "../../io/load_model.ts";
import { lora, promptTuning } from "../../methods/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { engine, type EngineOptions } from "../../serve/engine.ts";
import { respond } from "../../serve/handler.ts";
import type { Service } from "../../serve/service.ts";
import { temporaryFolder, tinyModel } from "../cli/tiny.ts";
import { assertNoLeak } from "../support/assert.ts";
import { noised } from "../support/subject.ts";

/** A running service. */
export interface Served {
  readonly url: string;
  readonly model: Model<Tokenizer>;
  readonly adapters: Readonly<Record<string, Adapter>>;
  readonly service: Service;
  /** What `generate` writes for the same prompt. */
  alone(adapter: string | null, prompt: readonly number[], maxNewTokens: number): Promise<string>;
}

/** Runs `f` on a service of a golden Llama (37 tokens, one letter each, context 64) under adapters "low" and "soft". */
export async function served(
  f: (served: Served) => Promise<void>,
  options: Partial<EngineOptions & Service> = {},
): Promise<void> {
  using folder = temporaryFolder();
  await assertNoLeak(async () => {
    const model = await loadModel(tinyModel(folder.path), { backend: reference() });
    const methods = {
      low: lora({ rank: 2, initialization: "none", targets: "all-linear" }),
      soft: promptTuning({ length: 3 }),
    };
    const roots = Object.entries(methods).map(([name, method], i) =>
      [
        name,
        method,
        keep(scope((): Synchronous<Tree> => noised(method.init({ model, key: i }), key(i)))),
      ] as const
    );
    const adapters = Object.fromEntries(
      roots.map(([name, method, root]) => [name, { method, params: root.tree } as unknown as Adapter]),
    );
    const running = engine(model, { adapters, rows: 4, queue: 8, ...options });
    let ids = 0;
    const service: Service = {
      ...{ model, engine: running, base: "tiny", adapters: Object.keys(adapters), maxLength: 64 },
      ...{ maxBytes: 20_000, began: 1, now: () => 2, seed: () => 3, id: () => String(ids++) },
      stopping: () => false,
      ...options,
    };
    const server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      (request) => respond(service, request),
    );
    const alone: Served["alone"] = (adapter, prompt, maxNewTokens) =>
      generate(adapter === null ? model : graft(model, adapters[adapter]!), prompt, { maxNewTokens });
    try {
      const { port } = server.addr as Deno.NetAddr;
      await f({ url: `http://127.0.0.1:${port}/v1`, model, adapters, service, alone });
    } finally {
      await running.close();
      await server.shutdown();
    }
    for (const [, , root] of roots) root.dispose();
    model.dispose();
  });
}
