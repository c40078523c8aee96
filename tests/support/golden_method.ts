/** Golden cases of methods on the tiny Llama: parameters, logits, loss and gradients that another program gave. */
import { forward, graft, leaves, lossAndGrad, nest, read, scope } from "../../core/mod.ts";
import { type Adapter, type Backend, type Batch, keep, type Method, type Model } from "../../core/mod.ts";
import type { Tree } from "../../core/mod.ts";
import { loadModel } from "../../io/load_model.ts";
import { reference } from "../../ops/reference/mod.ts";
import { assertClose, assertNoLeak } from "./assert.ts";
import { GOLDEN, goldenNumbers, goldenTensors, methodFile } from "./golden.ts";

/** The layers that most cases adapt. */
export const TARGETS: readonly string[] = ["q_proj", "v_proj", "down_proj"];

/** The batch that all cases ran. */
export function goldenBatch(): Batch {
  return JSON.parse(Deno.readTextFileSync(`${GOLDEN}llama_lora/batch.json`));
}

/** The base of all cases. */
export function goldenBase(backend: Backend): Promise<Model> {
  return loadModel(`${GOLDEN}llama_lora/base`, { backend });
}

/** A case's parameters under a prefix of its names ("param."), as a kept tree that the caller disposes. */
export function goldenParams(
  name: string,
  backend: Backend,
  prefix = "param.",
): { readonly tree: Tree; dispose(): void } {
  return keep(scope(() =>
    nest(
      [...goldenTensors(methodFile(name), backend)]
        .filter(([path]) => path.startsWith(prefix))
        .map(([path, t]) => [path.slice(prefix.length), t] as const),
    ) as Tree
  ));
}

/** Tolerances relative to the largest value: f32 sums over widths of 24 to 37, through two blocks. */
export interface GoldenTolerance {
  readonly logits?: number;
  readonly gradients?: number;
}

/** Logits, loss and every gradient of an adapter equal the golden ones. */
export async function assertGolden(
  name: string,
  model: Model,
  adapter: Adapter,
  { logits: within = 1e-5, gradients = 1e-4 }: GoldenTolerance = {},
): Promise<void> {
  const expected = goldenNumbers(methodFile(name));
  const batch = goldenBatch();
  const { logits } = forward(graft(model, adapter), batch);
  assertClose(await read(logits), expected.get("logits")!, within, "logits");
  logits.storage.free();
  const { loss, grads } = await lossAndGrad(model, adapter, batch);
  assertClose([loss], expected.get("loss")!, within, "loss");
  await assertGradients(name, grads, gradients);
  for (const [, t] of leaves(grads)) t.storage.free();
}

/** Every gradient equals the golden one, and none is missing or extra. */
export async function assertGradients(name: string, grads: Tree, tolerance: number): Promise<void> {
  const expected = goldenNumbers(methodFile(name));
  const wanted = [...expected.keys()].filter((path) => path.startsWith("grad.")).map((path) => path.slice(5));
  const found = new Map(leaves(grads));
  const missing = [
    ...wanted.filter((p) => !found.has(p)),
    ...[...found.keys()].filter((p) => !wanted.includes(p)),
  ];
  if (missing.length > 0) throw new Error(`Gradients differ in ${missing.join(", ")}`);
  for (const path of wanted) {
    assertClose(
      await read(found.get(path)!),
      expected.get(`grad.${path}`)!,
      tolerance,
      `gradient of ${path}`,
    );
  }
}

/** Runs a test of a case's parameters on its base, on the reference backend. */
export async function onGolden(
  name: string,
  test: (model: Model, params: Tree, backend: Backend) => Promise<void>,
): Promise<void> {
  const backend = reference();
  await assertNoLeak(async () => {
    const model = await goldenBase(backend);
    const params = goldenParams(name, backend);
    await test(model, params.tree, backend);
    params.dispose();
    model.dispose();
  });
}

/** A method on a case's parameters has its logits, loss and gradients. */
export const methodIsGolden = (name: string, method: Method): Promise<void> =>
  onGolden(name, (model, params) => assertGolden(name, model, { method, params }));
