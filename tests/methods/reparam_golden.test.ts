/**
 * The reparametrised methods against PEFT, LyCORIS and transcriptions (tests/oracles/reparam.py): logits, loss, gradients,
 * the merged model and three AdamW steps, on each backend.
 */
import assert from "node:assert/strict";
import {
  type Adapter,
  dispose,
  forward,
  keep,
  leaves,
  lossAndGradients,
  merge,
  type Method,
  type Model,
  nest,
  overlay,
  read,
  scope,
  type Synchronous,
  trainable,
  type Tree,
} from "../../core/mod.ts";
import { boft, fourierft, hra, krona, loha, lokr, miss, oft, vera } from "../../methods/mod.ts";
import { adamw, freshSlots, type Slots } from "../../train/optimizer.ts";
import { assertClose, assertNoLeak } from "../support/assert.ts";
import { ALL_BACKENDS, withBackend } from "../support/backends.ts";
import { goldenNumbers } from "../support/golden.ts";
import { assertGolden, goldenBase, goldenBatch, goldenParams } from "../support/golden_method.ts";

const targets = ["q_proj", "v_proj", "down_proj"];

const CASES: Readonly<Record<string, Method>> = {
  loha: loha({ rank: 3, alpha: 5, targets }),
  loha_patterns: loha({
    rank: 2,
    rankPattern: { down_proj: 4 },
    alphaPattern: { "layers.1.self_attn.v_proj": 7 },
    targets,
  }),
  loha_lycoris: loha({ rank: 3, alpha: 1, targets }),
  lokr: lokr({ rank: 2, alpha: 3, targets }),
  lokr_full: lokr({ rank: 8, alpha: 4, targets }),
  lokr_edge: lokr({ rank: 3, alpha: 3, targets }),
  lokr_both: lokr({ rank: 1, alpha: 3, factor: 5, split: "both", targets }),
  lokr_lycoris: lokr({
    rank: 2,
    alpha: 1,
    factor: 4,
    order: "smallerFirst",
    scaling: "unitWhenFull",
    targets,
  }),
  lokr_lycoris_full: lokr({ rank: 8, alpha: 3, scaling: "unitWhenFull", targets }),
  krona: krona({ scale: 1.5, firstFactor: [3, 2] }),
  vera: vera({ rank: 5, projectionSeed: 99, targets }), // the file's A and B, not those of the seed
  "vera regenerated": vera({ rank: 5, projectionSeed: 3, projections: "regenerated", targets }),
  hra: hra({ rank: 4, targets }),
  hra_exact: hra({ rank: 3, orthogonality: "exact", targets }),
  miss: miss({ rank: 5, targets }),
  miss_mini: miss({ rank: 4, form: "mini", miniRank: 6, targets }),
  miss_bat: miss({ rank: 4, form: "bat", targets }),
  oft: oft({ blocks: { size: 4 }, targets }),
  oft_terms: oft({ blocks: { size: 4 }, cayley: { terms: 7 }, targets }),
  oft_three_terms: oft({ blocks: { size: 4 }, cayley: { terms: 3 }, targets }),
  oft_two_terms: oft({ blocks: { size: 4 }, cayley: { terms: 2 }, targets }),
  oft_exact: oft({ blocks: { count: 4 }, cayley: "exact", sharing: "shared", targets }),
  oft_constrained: oft({ blocks: { size: 4 }, constraint: 0.3, targets }),
  oft_nearest: oft({ blocks: { size: 5 }, uneven: "nearest", targets }),
  boft: boft({ blocks: { size: 4 }, targets }),
  boft_two: boft({ blocks: { size: 2 }, factors: 2, targets }),
  boft_three: boft({ blocks: { count: 4 }, factors: 3, targets: ["q_proj", "v_proj", "o_proj"] }),
  fourierft: fourierft({ frequencies: 13, scale: 40, targets }),
  fourierft_many: fourierft({ frequencies: 200, positionSeed: 5, scale: 9, targets }),
};

for (const backendName of ALL_BACKENDS) {
  for (const [name, method] of Object.entries(CASES)) {
    Deno.test(`${name} equals its golden case (${backendName})`, () =>
      withBackend(backendName, (backend) =>
        assertNoLeak(async () => {
          const model = await goldenBase(backend);
          const golden = name.split(" ")[0]!;
          const params = goldenParams(golden, backend);
          const regenerated = name.endsWith("regenerated");
          const adapter = { method, params: regenerated ? trainable(params.tree) : params.tree };
          assertShapes(model, adapter);
          await assertGolden(golden, model, adapter);
          await assertMerged(golden, model, adapter);
          await assertSteps(golden, model, adapter);
          params.dispose();
          model.dispose();
        })));
  }
}

/** Fresh parameters have the names and shapes of the other program's. */
function assertShapes(model: Model, { method, params }: Adapter): void {
  const fresh = method.init({ model, key: 0 });
  const shapes = (tree: Tree) => leaves(tree).map(([path, t]) => `${path} [${t.shape.join(", ")}]`).sort();
  assert.deepEqual(shapes(fresh), shapes(params));
  dispose(fresh);
}

async function assertMerged(name: string, model: Model, adapter: Adapter): Promise<void> {
  const merged = merge(model, adapter);
  const { logits } = forward(merged, goldenBatch());
  // 1e-5: f32 rounding of the changed weights.
  assertClose(
    await read(logits),
    goldenNumbers(`methods/${name}.safetensors`).get("merged")!,
    1e-5,
    "merged logits",
  );
  logits.storage.free();
  merged.dispose();
}

/**
 * Three steps at 1e-2. AdamW divides a gradient by its own size, so rounding decides the step where the gradient is all but
 * zero: entries under 1e-6 of the leaf's largest are left out. Half of BOFT's matrices with blocks of 2 have no gradient at all
 * (the diagonals); elsewhere they are few.
 */
async function assertSteps(name: string, model: Model, { method, params }: Adapter): Promise<void> {
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
  const expected = goldenNumbers(`methods/${name}.safetensors`);
  for (const [path, t] of leaves(trainable(root.tree.params))) {
    const gradient = expected.get(`grad.${path}`)!;
    const largest = gradient.reduce((m, g) => Math.max(m, Math.abs(g)), 0);
    const clear = (_: number, i: number): boolean => Math.abs(gradient[i]!) >= 1e-6 * largest;
    const [found, wanted] = [await read(t), expected.get(`step.${path}`)!];
    if (found.filter(clear).length < (path.endsWith(".r") ? 0.5 : 0.95) * found.length) {
      throw new Error(`${path}: too many vanishing gradients`);
    }
    assertClose(found.filter(clear), wanted.filter(clear), 1e-4, `three steps of ${path}`);
  }
  root.dispose();
}
