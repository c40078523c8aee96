/** Whether larger models need fewer dimensions: what `deno task intrinsic-dimension` found, for it takes hours. */
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type Claim, type Finding, verdictOf } from "./claim.ts";

const FILE = fileURLToPath(new URL("../bench/intrinsic_dimension.json", import.meta.url));

/** What the bench writes of each model, the smaller first. */
interface Measured {
  readonly results: readonly { readonly model: string; readonly dimension?: number }[];
}

const ARTICLE = "200 numbers reach 90 % of full fine-tuning on MRPC; larger models need fewer";

/** What the measurements say. */
export function found({ results }: Measured): Finding {
  const dimensions = results.map(({ dimension }) => dimension ?? Infinity);
  return {
    article: ARTICLE,
    ours: results.map(({ model, dimension }) => `${model}: ${dimension ?? "none tried"}`).join(", "),
    verdict: results.length < 2 ? "not testable here" : verdictOf(dimensions.at(-1)! < dimensions[0]!),
    note: "encoders of tens of thousands of parameters on a generated paraphrase task",
  };
}

export const claim: Claim = {
  title: "Larger models have a lower intrinsic dimension",
  check: () =>
    existsSync(FILE) ? found(JSON.parse(readFileSync(FILE, "utf8"))) : {
      article: ARTICLE,
      ours: "deno task intrinsic-dimension measures it",
      verdict: "not testable here",
    },
};
