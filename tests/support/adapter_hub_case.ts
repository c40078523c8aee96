/**
 * Golden cases of adapters and hybrids: AdapterHub's `adapters` 1.3 on tiny BERT, RoBERTa, T5 and Llama with padding
 * (tests/oracles/adapter_hub_cases.py), and what no library has by its equations (tests/oracles/late_fusion.py). Logits and loss within 1e-5,
 * gradients within 1e-4 of the largest value, as for f32 sums over widths of 20 to 37 through two or three blocks.
 */
import assert from "node:assert/strict";
import {
  type Backend,
  type Batch,
  forward,
  graft,
  keep,
  leaves,
  lossAndGrad,
  type Method,
  nest,
  read,
  scope,
  type Synchronous,
  type Tree,
} from "../../core/mod.ts";
import { loadModel } from "../../io/load_model.ts";
import { assertClose, assertNoLeak } from "./assert.ts";
import { ALL_BACKENDS, withBackend } from "./backends.ts";
import { GOLDEN, goldenNumbers, goldenTensors, madeBy } from "./golden.ts";
import { largest } from "./law_numbers.ts";

/** Sizes of the hybrids' prefixes. */
export const SMALL = { prefix: { length: 3, network: { hidden: 5 } } } as const;

/** A method, or what makes it of the parameters that a case holds. */
export type HubMethod = Method | ((params: Tree) => Method);

const FOLDERS: Readonly<Record<string, string>> = {
  t5_square: "encoder_edits/t5_square",
  llama: "llama_lora/base",
};
const BATCHES: Readonly<Record<string, string>> = {
  t5_square: "encoders/t5/case.json",
  llama: "llama_lora/batch.json",
};

function batchOf(base: string): Batch {
  return JSON.parse(Deno.readTextFileSync(`${GOLDEN}${BATCHES[base] ?? `encoders/${base}/case.json`}`));
}

/** Masks without holes, of as many tokens: adapters finds a text's end by its length. */
function paddedRight(batch: Batch): Batch {
  const attentionMask = batch.attentionMask!.map((row) => {
    const length = row.filter((m) => m === 1).length;
    return row.map((_, i) => i < length ? 1 : 0);
  });
  return { ...batch, attentionMask };
}

/** One text without a prompt: adapters edits the ends of prompt and answer together. */
function noPrompt(batch: Batch): Batch {
  return {
    ...batch,
    labels: batch.inputIds.map((row, i) => row.map((id, j) => batch.attentionMask![i]![j] === 1 ? id : -100)),
  };
}

/** The batch of a case. */
function batchFor(base: string, kind: string): Batch {
  const batch = batchOf(base);
  if (!/reft/.test(kind)) return batch;
  return base === "llama" ? noPrompt(paddedRight(batch)) : paddedRight(batch);
}

/** The parameters of a case, kept. */
function goldenTree(file: string, backend: Backend): ReturnType<typeof keep<Tree>> {
  return keep(scope((): Synchronous<Tree> =>
    nest(
      [...goldenTensors(file, backend)].filter(([name]) => name.startsWith("param."))
        .map(([name, t]) => [name.slice(6), t] as const),
    ) as Synchronous<Tree>
  ));
}

/** Registers the tests of a kind of case on a model. */
export function adapterHubCase(kind: string, bases: readonly string[], made: HubMethod): void {
  for (const backendName of ALL_BACKENDS) {
    for (const base of bases) {
      Deno.test(`${kind} on ${base} equals another program's logits, loss and gradients (${backendName})`, () =>
        withBackend(backendName, (backend) =>
          assertNoLeak(async () => {
            const model = await loadModel(`${GOLDEN}${FOLDERS[base] ?? `encoders/${base}`}`, { backend });
            const file = madeBy(["adapter_hub_cases", "late_fusion"], `${base}_${kind}.safetensors`);
            const expected = goldenNumbers(file);
            const batch = batchFor(base, kind);
            const params = goldenTree(file, backend);
            const method = typeof made === "function" ? made(params.tree) : made;
            const fresh = keep(
              scope((): Synchronous<Tree> => method.init({ model, key: 0 }) as Synchronous<Tree>),
            );
            const shapes = (tree: Tree) =>
              Object.fromEntries(leaves(tree).map(([path, t]) => [path, t.shape] as const));
            assert.deepEqual(shapes(fresh.tree), shapes(params.tree), "names and shapes of the parameters");
            fresh.dispose();

            const adapter = { method, params: params.tree };
            const { logits } = forward(graft(model, adapter), batch);
            const mask = base.endsWith("tags") ? batch.attentionMask!.flat() : undefined;
            const real = (all: ArrayLike<number>): readonly number[] =>
              Array.from(all).filter((_, i) => mask?.[Math.floor(i / (all.length / mask.length))] !== 0);
            assertClose(real(await read(logits)), real(expected.get("logits")!), 1e-5, "logits");
            logits.storage.free();

            const { loss, grads } = await lossAndGrad(model, adapter, batch);
            const penalty = expected.get("penalty")?.[0] ?? 0;
            assertClose([loss], [expected.get("loss")![0]! + penalty], 1e-5, "loss");
            const found = new Map(leaves(grads));
            assert.deepEqual(
              [...found.keys()].sort(),
              [...expected.keys()].filter((name) => name.startsWith("grad.")).map((name) => name.slice(5))
                .sort(),
            );
            // What vanishes but for rounding (the bias of keys under a softmax) is measured against the other gradients.
            const gradients = [...expected].filter(([name]) => name.startsWith("grad."));
            const floor = 1e-2 * largest(gradients.flatMap(([, values]) => [...values]));
            for (const [path, t] of found) {
              assertClose([...await read(t), floor], [...expected.get(`grad.${path}`)!, floor], 1e-4, path);
            }
            for (const [, t] of found) t.storage.free();
            params.dispose();
            model.dispose();
          })));
    }
  }
}
