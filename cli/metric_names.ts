/** What the metrics of objectives and of labels are called in tables. */

/** Headings by the metrics' own names; further metrics are in the JSON. */
export const METRIC_NAMES: Readonly<Record<string, string>> = {
  "rewards/accuracies": "accuracy",
  "rewards/margins": "margin",
  accuracy: "accuracy",
  f1: "F1",
  pearson: "Pearson",
  spearman: "Spearman",
};
