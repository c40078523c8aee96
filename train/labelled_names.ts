/** The classes of labelled examples, for a head to be trained on them. */
import type { LabelledExample } from "./labelled_examples.ts";

/**
 * The names of all classes of some examples, for a head to be trained on them: numbers in numerical order,
 * other names alphabetically. Numbers have no gaps: with labels 0 and 2 there is a class 1. A column with other values than 1 and 0
 * has a class for each of its values, "tone: kind".
 *
 * @example
 * ```ts
 * import { labelNames } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const labelled = (label: string) => ({ kind: "class", text: "…", label }) as const;
 * assert.deepEqual(labelNames(["praise", "complaint", "praise"].map(labelled)), ["complaint", "praise"]);
 * assert.deepEqual(labelNames(["2", "0"].map(labelled)), ["0", "1", "2"]);
 * ```
 */
export function labelNames(examples: Iterable<LabelledExample>): readonly string[] {
  const seen = labelsSeen();
  for (const example of examples) seen.add(example);
  return seen.names();
}

/** The names of classes while examples pass by. */
export interface LabelsSeen {
  /** Sees an example. */
  add(example: LabelledExample): void;
  /** As `labelNames`. */
  names(): readonly string[];
  /** The first example, where all have the same label. */
  same(): LabelledExample | undefined;
}

/** See `LabelsSeen`. */
export function labelsSeen(): LabelsSeen {
  const names = new Set<string>();
  const columns = new Map<string, Set<string>>();
  let first: { readonly example: LabelledExample; readonly label: string } | undefined;
  let same = true;
  return {
    add: (example) => {
      const label = JSON.stringify(labelOf(example));
      first ??= { example, label };
      same &&= label === first.label && !(example.kind === "tags" && new Set(example.tags).size > 1);
      if (example.kind === "class") names.add(example.label);
      if (example.kind === "tags") { for (const tag of example.tags) names.add(tag); }
      if (example.kind === "flags") {
        for (const [name, value] of Object.entries(example.columns)) {
          if (!columns.has(name)) columns.set(name, new Set());
          columns.get(name)!.add(value);
        }
      }
    },
    names: () => {
      const flags = [...columns].flatMap(([name, values]) =>
        [...values].every((value) => value === "0" || value === "1")
          ? [name]
          : [...values].map((value) => `${name}: ${value}`)
      );
      return inOrder([...names, ...flags]);
    },
    same: () => same ? first?.example : undefined,
  };
}

/** What an example is labelled with. */
function labelOf(example: LabelledExample): unknown {
  switch (example.kind) {
    case "class":
      return example.label;
    case "score":
      return example.score;
    case "tags":
      return example.tags[0];
    case "flags":
      return Object.entries(example.columns).filter(([, value]) => value !== "0").sort();
    default:
      return example satisfies never;
  }
}

function inOrder(all: readonly string[]): readonly string[] {
  if (all.length === 0 || !all.every((name) => /^(0|[1-9]\d{0,5})$/.test(name))) {
    return all.toSorted((a, b) => a < b ? -1 : a > b ? 1 : 0);
  }
  return Array.from({ length: Math.max(...all.map(Number)) + 1 }, (_, id) => String(id));
}

/** "toxic, tone: rude"; "none" where no column says anything. */
export function flagNames(columns: Readonly<Record<string, string>>): string {
  const said = Object.entries(columns).filter(([, value]) => value !== "0");
  return said.map(([name, value]) => value === "1" ? name : `${name}: ${value}`).join(", ") || "none";
}
