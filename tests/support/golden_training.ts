/** What golden cases with merged logits and training steps (tests/oracles/reparam.py) say beyond logits, loss and gradients. */
import assert from "node:assert/strict";
import {
  type Adapter,
  dispose,
  forward,
  keep,
  leaves,
  lossAndGradients,
  merge,
  type Model,
  nest,
  overlay,
  read,
  scope,
  type Synchronous,
  trainable,
  type Tree,
} from "../../core/mod.ts";
import { adamw, freshSlots, type Slots } from "../../train/optimizer.ts";
import { assertClose } from "./assert.ts";
import { goldenNumbers, methodFile } from "./golden.ts";
import { goldenBatch } from "./golden_method.ts";

/** Fresh parameters have the names and shapes of the other program's. */
export function assertShapes(model: Model, { method, params }: Adapter): void {
  const fresh = method.init({ model, key: 0 });
  const shapes = (tree: Tree) => leaves(tree).map(([path, t]) => `${path} [${t.shape.join(", ")}]`).sort();
  assert.deepEqual(shapes(fresh), shapes(params));
  dispose(fresh);
}

/** The merged model's logits are the golden ones. */
export async function assertMerged(name: string, model: Model, adapter: Adapter): Promise<void> {
  const merged = merge(model, adapter);
  const { logits } = forward(merged, goldenBatch());
  // 1e-5: f32 rounding of the changed weights.
  assertClose(
    await read(logits),
    goldenNumbers(methodFile(name)).get("merged")!,
    1e-5,
    "merged logits",
  );
  logits.storage.free();
  merged.dispose();
}

/**
 * Three steps of AdamW at 1e-2. AdamW divides a gradient by its own size, so rounding decides the step where the gradient is all but
 * zero: entries under 1e-6 of the leaf's largest are left out. Half of BOFT's matrices with blocks of 2 have no gradient at all
 * (the diagonals), and of PVeRA's λ_d (the variance, where nothing is drawn); elsewhere they are few.
 */
export async function assertSteps(
  name: string,
  model: Model,
  { method, params }: Adapter,
  /** The share of entries that must have a gradient, where some have none by the method's definition. */
  moving = 0.95,
): Promise<void> {
  const optimizer = adamw({ weightDecay: 0.01 });
  const root = keep(scope((): Synchronous<{ params: Tree; slots: Readonly<Record<string, Slots>> }> => ({
    params,
    slots: Object.fromEntries(leaves(trainable(params)).map(([path, t]) => [path, freshSlots(optimizer, t)])),
  } as unknown as Synchronous<{ params: Tree; slots: Readonly<Record<string, Slots>> }>)));
  for (let step = 1; step <= 3; step++) {
    root.replace(scope(() => {
      const before = root.tree;
      const { gradients } = lossAndGradients(model, { method, params: before.params }, goldenBatch());
      const grads = new Map(leaves(gradients));
      const next = leaves(trainable(before.params)).map(([path, leaf]) =>
        [
          path,
          optimizer.update(leaf, grads.get(path)!, before.slots[path]!, { learningRate: 1e-2, step }),
        ] as const
      );
      const moved = overlay(
        before.params,
        nest(next.map(([path, { leaf }]) => [path, leaf] as const)) as Tree,
      );
      return {
        params: method.project?.(moved) ?? moved,
        slots: Object.fromEntries(next.map(([path, { slots }]) => [path, slots])),
      } as unknown as Synchronous<typeof before>;
    }));
  }
  const expected = goldenNumbers(methodFile(name));
  for (const [path, t] of leaves(trainable(root.tree.params))) {
    const gradient = expected.get(`grad.${path}`)!;
    const largest = gradient.reduce((m, g) => Math.max(m, Math.abs(g)), 0);
    const clear = (_: number, i: number): boolean => Math.abs(gradient[i]!) >= 1e-6 * largest;
    const [found, wanted] = [await read(t), expected.get(`step.${path}`)!];
    if (found.filter(clear).length < (halfStill(method.name, path) ? 0.5 : moving) * found.length) {
      throw new Error(`${path}: too many vanishing gradients`);
    }
    assertClose(found.filter(clear), wanted.filter(clear), 1e-4, `three steps of ${path}`);
  }
  root.dispose();
}

const halfStill = (method: string, path: string): boolean =>
  path.endsWith(".r") || method === "pvera" && path.endsWith(".lambdaD");
