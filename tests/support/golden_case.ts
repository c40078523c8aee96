/** A method's golden case as a test on each backend: shapes, logits, loss, gradients, the merged model and three AdamW steps. */
import type { Adapter, Tree } from "../../core/mod.ts";
import { assertNoLeak } from "./assert.ts";
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
