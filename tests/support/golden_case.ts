/** A method's golden case as a test on each backend: shapes, logits, loss, gradients, the merged model and three AdamW steps. */
import assert from "node:assert/strict";
import { type Adapter, dispose, leaves, type Method, read, trainable, type Tree } from "../../core/mod.ts";
import { assertClose, assertNoLeak } from "./assert.ts";
import { ALL_BACKENDS, type BackendName, withBackend } from "./backends.ts";
import { assertGolden, goldenBase, goldenParams } from "./golden_method.ts";
import { assertMerged, assertShapes, assertSteps } from "./golden_training.ts";

/** What a case is beside its name. */
export interface GoldenCase {
  /** The adapter with the golden parameters. */
  adapter(params: Tree): Adapter;
  /** The file's name; default the case's. */
  readonly file?: string;
  /** Whether the other program merges it. Default: "merges". */
  readonly merging?: "merges" | "apart";
  /** Where a fresh adapter can be made without a wait. Default: everywhere. */
  readonly fresh?: (backend: BackendName) => boolean;
}

/** Registers the tests of a case. */
export function goldenCase(
  name: string,
  { adapter: of, file = name, merging = "merges", fresh = () => true }: GoldenCase,
): void {
  for (const backendName of ALL_BACKENDS) {
    Deno.test(`${name} equals its golden case (${backendName})`, () =>
      withBackend(backendName, (backend) =>
        assertNoLeak(async () => {
          const model = await goldenBase(backend);
          const params = goldenParams(file, backend);
          const adapter = of(params.tree);
          if (fresh(backendName)) assertShapes(model, adapter);
          await assertGolden(file, model, adapter);
          if (merging === "merges") await assertMerged(file, model, adapter);
          await assertSteps(file, model, adapter);
          params.dispose();
          model.dispose();
        })));
  }
}

/**
 * Registers the cases of a method by name. One whose name ends in "regenerated" has the file of the name before it, of which it takes
 * what trains alone.
 */
export function goldenMethods(
  methods: Readonly<Record<string, Method>>,
  rest: Omit<GoldenCase, "adapter" | "file"> = {},
): void {
  for (const [name, method] of Object.entries(methods)) {
    goldenCase(name, {
      ...rest,
      file: name.split(" ")[0]!,
      adapter: (params) => ({ method, params: name.endsWith("regenerated") ? trainable(params) : params }),
    });
  }
}

/** Registers a test for each case: what a fresh adapter keeps frozen of its start is what the other program keeps. */
export function goldenStarts(methods: Readonly<Record<string, Method>>, within = 1e-6): void {
  for (const [name, method] of Object.entries(methods)) {
    Deno.test(`what a fresh ${name} keeps of its start is what PEFT keeps`, () =>
      withBackend("wasm", (backend) =>
        assertNoLeak(async () => {
          const model = await goldenBase(backend);
          const [golden, fresh] = [goldenParams(name, backend), method.init({ model, key: 0 })];
          const theirs = new Map(leaves(golden.tree));
          const frozen = leaves(fresh).filter(([path]) => path.includes(".frozen."));
          assert.ok(frozen.length > 0 && frozen.length % 6 === 0); // of each of six layers
          for (const [path, t] of frozen) {
            assertClose(await read(t), await read(theirs.get(path)!), within, path);
          }
          dispose(fresh);
          golden.dispose();
          model.dispose();
        })));
  }
}
