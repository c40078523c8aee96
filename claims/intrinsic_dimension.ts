/** Whether larger models need fewer dimensions: what `deno task intrinsic-dimension` found, for it takes hours. */
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type Claim, verdictOf } from "./claim.ts";

const FILE = fileURLToPath(new URL("../bench/intrinsic_dimension.json", import.meta.url));

interface Measured {
  readonly sizes: Readonly<Record<string, { readonly dimension?: number; readonly parameters?: number }>>;
}

export const claim: Claim = {
  title: "Larger models have a lower intrinsic dimension",
  check: () => {
    const article = "200 numbers reach 90 % of full fine-tuning on MRPC; larger models need fewer";
    if (!existsSync(FILE)) {
      return { article, ours: "deno task intrinsic-dimension measures it", verdict: "not testable here" };
    }
    const { sizes } = JSON.parse(readFileSync(FILE, "utf8")) as Measured;
    const found = Object.entries(sizes ?? {});
    const dimensions = found.map(([, { dimension }]) => dimension ?? Infinity);
    return {
      article,
      ours: found.map(([name, { dimension }]) => `${name}: ${dimension ?? "none tried"}`).join(", "),
      verdict: found.length < 2 ? "not testable here" : verdictOf(dimensions.at(-1)! < dimensions[0]!),
      note: "encoders of tens of thousands of parameters on a generated paraphrase task",
    };
  },
};
