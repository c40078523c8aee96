/** Conversion of invertible adapters from AdapterHub's `BnConfig` to methods. */
import type { Model } from "../../core/mod.ts";
import type { AdaptersFields } from "../../formats/adapters_fields.ts";
import { bottleneckRank } from "../shared/bottleneck.ts";
import {
  invertibleAdapter,
  type InvertibleAdapterOptions,
  readingStack,
} from "../adapters/invertible_adapter.ts";
import { activationOf } from "./activations.ts";
import { INVERTIBLE } from "./kinds.ts";
import { type AdaptersPart, all, same } from "./layout.ts";
import { rangeError } from "../../errors/error.ts";

/**
 * Where the library applies the map. For other models both places are the same, and bare towers also have a
 * path for embedded tokens.
 */
export function inverseStands({ architecture }: Model): NonNullable<InvertibleAdapterOptions["stands"]> {
  return ["t5", "gpt2"].includes(architecture.name) ? "entrance" : "tokens";
}

/** The part for the invertible adapter of a `BnConfig`. @throws {RangeError} when it is of another kind. */
export function invertiblePart(
  fields: AdaptersFields,
  model: Model,
  name: string,
  modelClass: string,
): AdaptersPart {
  if (fields["inv_adapter"] !== "nice") {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Cannot load the adapter "${name}": its invertible adapter is ${
        JSON.stringify(fields["inv_adapter"])
      }, known is "nice"`,
    );
  }
  const reduction = (fields["inv_adapter_reduction_factor"] ?? 2) as number;
  const activation = activationOf(fields["non_linearity"]!);
  // The library undoes the map only in its own heads.
  const undone = /AdapterModel$|ModelWithHeads$/.test(modelClass) ? "heads" as const : "never" as const;
  const stack = readingStack(model.spec)!;
  const short = Math.floor(stack.width / 2);
  const long = stack.width - short;
  const owner = model.architecture.name === "t5" ? "encoder." : "";
  const stands = inverseStands(model);
  const site = stands === "entrance" ? stack.path : stack.entrance;
  const net = (ours: string, theirs: string, from: number, to: number) => {
    const inside = bottleneckRank(from, reduction);
    const key = `${owner}invertible_adapters.${name}.${theirs}`;
    const path = `${site}.${ours}`;
    return [
      same(`${path}.down.weight`, `${key}.0.weight`, [inside, from]),
      same(`${path}.down.bias`, `${key}.0.bias`, [inside]),
      same(`${path}.up.weight`, `${key}.2.weight`, [to, inside]),
      same(`${path}.up.bias`, `${key}.2.bias`, [to]),
    ];
  };
  return {
    kind: INVERTIBLE,
    method: invertibleAdapter({ reduction, activation, stands, undone }),
    ...all([...net("f", "F", long, short), ...net("g", "G", short, long)]),
  };
}
