// Prints every bit that a run on the reference backend gives, which is arithmetic of JavaScript alone: losses, parameters, text.
import {
  adapt,
  bytesOf,
  freshModel,
  generate,
  graft,
  leaves,
  lora,
  reference,
  smallConfig,
  startTraining,
} from "@graft/peft";
import { cosine, perplexity, polynomial, rowsFrom } from "@graft/peft/train";

const backend = reference();
const letters = {
  encode: (text) => [...text].map((letter) => letter.charCodeAt(0) - 97),
  decode: (ids) => String.fromCharCode(...ids.map((id) => id + 97)),
};
const config = { ...smallConfig("llama", { vocabulary: 26 }), rope_theta: 10_000.5 };
const model = freshModel(config, { backend, key: 3, tokenizer: letters });
const rows = rowsFrom(
  ["whereismyparcel", "itarrivesonmonday", "thankyouverymuch", "nothingcame"].map((text) => {
    const inputIds = letters.encode(text);
    return { inputIds, labels: inputIds };
  }),
);
const adapter = adapt(model, lora({ rank: 4, targets: "all-linear", dropout: 0.1 }), 7);
const run = await startTraining(model, adapter, rows, {
  learningRate: 0.02,
  schedule: cosine({ totalSteps: 20, warmUp: 3 }),
  batching: { kind: "buckets", batchSize: 2 },
  epochs: 10,
  clip: 1,
  seed: 5,
  pad: 0,
});
const hex = (bytes) => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
for (let step = await run.next(); step; step = await run.next()) {
  console.log(hex(new Uint8Array(Float64Array.of(step.loss, step.gradientNorm, step.learningRate).buffer)));
}
for (const [path, leaf] of leaves(run.adapter().params)) console.log(path, hex(await bytesOf(leaf)));
const tuned = graft(model, run.adapter());
for (const sampler of [{ temperature: 0.8 }, { temperature: 1.3, topK: 9 }, { temperature: 1, topP: 0.9 }]) {
  console.log(
    await generate(tuned, ["wh", "thank"], { maxNewTokens: 40, eos: [], sampler, key: 11 }).then(String),
  );
}

// Numbers of f64 that nothing rounds after exp, cos and pow.
const [wave, curve] = [cosine({ totalSteps: 3000 }), polynomial({ totalSteps: 3000, power: 1.7 })];
for (let i = 0; i < 3000; i++) {
  const text = perplexity({ negativeLogLikelihood: i / 7, tokens: 300 });
  console.log(hex(new Uint8Array(Float64Array.of(wave(i), curve(i), text).buffer)));
}
