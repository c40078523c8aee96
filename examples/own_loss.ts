/**
 * A loss of your own: a function of the scores of a batch's labels. This one is the focal loss (arXiv 1708.02002), −(1 − p)² log p,
 * which counts tokens less that the model is sure of; preferences and their rewards come ready made.
 *
 *   deno run examples/own_loss.ts
 */
import { adapt, freshModel, lora, reference, smallConfig } from "@graft/peft";
import { crossEntropy, exp, integers, mean, multiply, negate, square, subtract } from "@graft/peft/ops";
import {
  dpo,
  type Objective,
  objectiveGradients,
  preferenceRowsFrom,
  type Rows,
  rowsFrom,
  startTraining,
} from "@graft/peft/train";

const focal: Objective = {
  loss({ logits, ids }) {
    const surprise = crossEntropy(logits, integers(ids, logits.backend)); // −log p, one number a label
    const doubt = subtract(1, exp(negate(surprise)));
    return mean(multiply(square(doubt), surprise));
  },
};

const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
const after = (prompt: number[], answer: number[]) => ({
  inputIds: [...prompt, ...answer],
  labels: [...prompt.map(() => -100), ...answer],
});
const texts = rowsFrom([after([1, 2], [3, 4]), after([5], [6, 7])]);
const pairs = preferenceRowsFrom([{ chosen: after([1, 2], [3, 4]), rejected: after([1, 2], [8]) }]);

async function train(name: string, objective: Objective, rows: Rows): Promise<void> {
  const run = await startTraining(model, adapt(model, lora({ rank: 2, targets: "all-linear" })), rows, {
    ...{ learningRate: 0.02, epochs: 20, pad: 0, batching: { kind: "buckets", batchSize: 2 } },
    gradients: objectiveGradients(objective),
  });
  for (let report = await run.next(); report; report = await run.next()) {
    if (report.step % 10 === 0) console.log(`${name}, step ${report.step}: loss ${report.loss.toFixed(4)}`);
  }
}
await train("focal", focal, texts);
await train("dpo", dpo({ beta: 0.1 }), pairs);
