/** lily(): the laws of methods, golden cases of PEFT (tests/oracles/peft_subspace.py) and what is refused. */
import {
  type Adapter,
  type Batch,
  chooseTargets,
  forward,
  graft,
  type Model,
  read,
  sizesOf,
  type TargetOptions,
} from "../../../core/mod.ts";
import { lily } from "../../../methods/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertClose, assertNoLeak } from "../../support/assert.ts";
import { badOptions, misfits } from "../../support/bad_options.ts";
import { goldenMethods } from "../../support/golden_case.ts";
import { goldenBase, goldenBatch, goldenParams, TARGETS } from "../../support/golden_method.ts";
import { ALL } from "../../support/linear_laws.ts";
import { methodLaws } from "../../support/method_laws.ts";

/** Of kinds with as many layers as there are blocks: ⌈n / stride⌉ A of r in, E experts of r out, n routers of E r. */
const shared = (options: TargetOptions, r: number, stride: number, experts: number) => ({ spec }: Model) => {
  const kinds = Map.groupBy(
    chooseTargets(spec, options),
    ({ path, ...place }) => path.split(/\.\d+\./)[1]! + sizesOf({ path, ...place }).outFeatures,
  );
  const trainable = [...kinds.values()].reduce((sum, kind) => {
    const { inFeatures, outFeatures } = sizesOf(kind[0]!);
    return sum + Math.ceil(kind.length / stride) * r * inFeatures + experts * r * outFeatures +
      kind.length * experts * r;
  }, 0);
  return { trainable };
};

methodLaws("lily()", {
  method: () => ({ method: lily({ rank: 3 }) }),
  atInit: "base",
  merges: "no",
  looksAhead: true,
  counts: shared({}, 3, 1, 2),
  runs: 2,
});

methodLaws("lily() with shared A", {
  method: () => ({ method: lily({ ...ALL, rank: 2, stride: 2, experts: 3, scale: 0.5 }) }),
  atInit: "base",
  merges: "no",
  looksAhead: true,
  counts: shared(ALL, 2, 2, 3),
  runs: 2,
});

const targets = ["q_proj", "v_proj", "down_proj"];

Deno.test("lily() averages over each text what the authors average over a batch: of one text the two are one", () =>
  assertNoLeak(async () => {
    const backend = reference();
    const model = await goldenBase(backend);
    const params = goldenParams("lily", backend);
    const { inputIds, attentionMask = [] } = goldenBatch();
    const logits = async (mean: "text" | "batch", batch: Batch): Promise<Float32Array> => {
      const method = lily({ rank: 5, experts: 3, scale: 1.5, mean, targets });
      return await logitsOf(model, { method, params: params.tree }, batch);
    };
    const alone = (i: number): Batch => ({ inputIds: [inputIds[i]!], attentionMask: [attentionMask[i]!] });
    const each = await Promise.all(inputIds.map((_, i) => logits("batch", alone(i))));
    const together = await logits("text", { inputIds, attentionMask });
    assertClose(together, each.flatMap((numbers) => [...numbers]), 1e-5, "logits");
    params.dispose();
    model.dispose();
  }));

async function logitsOf(model: Model, adapter: Adapter, batch: Batch): Promise<Float32Array> {
  const { logits } = forward(graft(model, adapter), batch);
  const numbers = await read(logits);
  logits.storage.free();
  return numbers as Float32Array;
}

goldenMethods({
  lily: lily({ rank: 5, experts: 3, scale: 1.5, mean: "batch", targets: TARGETS }),
  lily_shared: lily({ rank: 4, stride: 2, mean: "batch", targets: TARGETS }),
}, { merging: "apart" });

badOptions("lily()", [
  [() => lily({ stride: 0 }), /^Expected lily.s option "stride" to be a positive integer.* but found 0$/],
  [
    () => lily({ experts: 1 }),
    /^Expected lily.s option "experts" to be an integer of 2 or more of at most 4096 but found 1$/,
  ],
]);
misfits("lily()", [
  [
    () => lily({ targets: ["embed_tokens"] }),
    /^Cannot put lily on the embedding "model\.embed_tokens": leave it out of the targets$/,
  ],
  [
    () => lily({ sharing: ["q_proj"] }),
    /^Expected "model\.layers\.0\.self_attn\.v_proj" to end in one name of sharing but found none$/,
  ],
  [
    () => lily({ sharing: ["q_proj", "proj", "v_proj"], targets: ["v_proj"] }),
    /^Expected "model\.layers\.0\.self_attn\.v_proj" to end in one name of sharing but found /,
  ],
]);
