/** Methods of matrices on a base in four bits. */
import {
  type Adapter,
  type Backend,
  type Batch,
  forward,
  graft,
  keep,
  key,
  mapTree,
  merge,
  type Method,
  type Model,
  quantize,
  read,
  scope,
  type Synchronous,
  type Tensor,
  type Tree,
} from "../../core/mod.ts";
import { add, normal } from "../../ops/mod.ts";
import { assertClose, assertNoLeak } from "./assert.ts";
import { withBackend } from "./backends.ts";
import { tinyLlama } from "./tiny_models.ts";

/** Two texts. */
export const TEXTS: Batch = {
  inputIds: [[1, 5, 3, 10], [2, 2, 7, 0]],
  labels: [[1, 5, 3, 10], [2, 2, 7, 0]],
};

/** A tensor's numbers; it is freed. */
export async function numbersOf(f: () => Tensor): Promise<readonly number[]> {
  const t = scope(() => f());
  const values = [...await read(t)];
  t.storage.free();
  return values;
}

/** An adapter with noise on all that trains. */
export function noisyTrained(
  model: Model,
  method: Method,
): { readonly adapter: Adapter; dispose(): void } {
  const fresh = keep(method.init({ model, key: 1 }));
  const root = keep(scope((): Synchronous<Tree> =>
    mapTree(
      fresh.tree,
      (t, path) => path.startsWith("frozen") ? t : add(t, normal(key(path.length), t.shape, t.backend, 0.2)),
    ) as Synchronous<Tree>
  ));
  return {
    adapter: { method, params: root.tree },
    dispose: () => {
      root.dispose();
      fresh.dispose();
    },
  };
}

/** Registers a test for each form of a method: it computes on the codes, and merges, what it does on the decoded weights. */
export function onCodes(methods: Readonly<Record<string, Method>>): void {
  for (const [name, method] of Object.entries(methods)) {
    Deno.test(`${name} on an nf4 base adapts and merges the decoded weights`, () =>
      withBackend("reference", (backend: Backend) =>
        assertNoLeak(async () => {
          const full = tinyLlama(backend, 4, { width: 16 });
          const quantized = quantize(full, { dtype: "nf4" });
          const decoded = quantize(quantized, { dtype: "f32", requantize: true });
          const { adapter, dispose: free } = noisyTrained(quantized, method);
          const logits = (model: Model) => numbersOf(() => forward(model, TEXTS).logits);
          const expected = await logits(graft(decoded, adapter));
          assertClose(await logits(graft(quantized, adapter)), expected, 1e-5);
          const merged = merge(quantized, adapter);
          assertClose(await logits(merged), expected, 1e-5);
          merged.dispose();
          free();
          for (const m of [decoded, quantized, full]) m.dispose();
        })));
  }
}
