/** A config's settings for classes: their number, and how labels are read. */
import type { LabelKind, ModelConfig } from "../core/mod.ts";
import { optionalSize } from "./config.ts";
import { rangeError } from "../errors/error.ts";

/** The number of classes (or scores): `num_labels`, the length of `id2label`, or 2, as in transformers. */
export function classCount(config: ModelConfig): number {
  const names = config["id2label"] as Readonly<Record<string, string>> | null | undefined;
  return optionalSize(config, "num_labels") ?? (names ? Object.keys(names).length : 2);
}

/** How a text classifier reads labels: by `problem_type`, or by the number of classes if that is missing. */
export function classLabels(config: ModelConfig): LabelKind {
  switch (config["problem_type"] ?? undefined) {
    case undefined:
      return classCount(config) === 1 ? "scores" : "class";
    case "regression":
      return "scores";
    case "single_label_classification":
      return "class";
    case "multi_label_classification":
      return "flags";
    default:
      throw rangeError(
        "MODEL_UNSUPPORTED",
        `Cannot train with problem_type ${JSON.stringify(config["problem_type"])}: known are regression, ` +
          "single_label_classification and multi_label_classification",
      );
  }
}
