/** The methods that benchmark rows time, on q, k, v and o where a method has targets. */
import type { Method, Tree } from "../../mod.ts";
import {
  compacter,
  dora,
  houlsby,
  ia3,
  intrinsicSaid,
  krona,
  ladderSideTuning,
  loha,
  lokr,
  lora,
  only,
  pfeiffer,
  prefixTuning,
  promptTuning,
  unipelt,
  vera,
} from "../../methods/mod.ts";

/** A method by the name that rows give it. @throws {RangeError} when there is none. */
export function methodOf(name: string, rank: number, targets: readonly string[]): Method<Tree> {
  switch (name) {
    case "lora":
      return lora({ rank, targets });
    case "lokr":
      return lokr({ rank, targets });
    case "krona":
      return krona({ targets });
    case "dora":
      return dora({ rank, targets });
    case "loha":
      return loha({ rank, targets });
    case "vera":
      return vera({ rank, targets });
    case "ia3":
      return ia3({});
    case "first-norm":
      return only({ parameters: /.*\.0\.input_layernorm\.weight/ });
    case "said":
      return intrinsicSaid({ dimension: 1024, parameters: /.*self_attn\.[qkvo]_proj\.weight/ });
    case "said-whole":
      return intrinsicSaid({ dimension: 1024 });
    case "houlsby":
      return houlsby({});
    case "pfeiffer":
      return pfeiffer({});
    case "unipelt":
      return unipelt({});
    case "prefix":
      return prefixTuning({});
    case "prompt":
      return promptTuning({});
    case "compacter":
      return compacter({ reduction: 36 });
    case "ladder":
      return ladderSideTuning({});
    default:
      throw new RangeError(`There is no method ${name} in the benchmark`);
  }
}
