/** `graft methods` without a model: every method by family, with a sentence each. */
import type { MethodDefinition } from "../../core/mod.ts";
import { FAMILIES } from "../../methods/index.ts";
import { isTrainable } from "../../tuning/chosen_method.ts";
import { labelled } from "../terminal/text.ts";

/** A method as the list has it. */
export interface ListedMethod {
  readonly name: string;
  readonly title: string;
  readonly family: string;
  readonly summary: string;
  /** Whether the command line trains it; others are parts of hybrids or need a program. */
  readonly trains: boolean;
}

/** The methods of all families, and of a file of one's own under the family "yours"; of them those wanted. */
export function listedMethods(
  own: readonly MethodDefinition[],
  isWanted: (definition: MethodDefinition) => boolean,
): readonly ListedMethod[] {
  return Object.entries({ ...own.length > 0 && { yours: own }, ...FAMILIES }).flatMap((
    [family, definitions],
  ) =>
    definitions.filter(isWanted).map((definition) => ({
      name: definition.name,
      title: definition.title ?? definition.name,
      family: family.replaceAll("_", " "),
      summary: definition.summary,
      trains: isTrainable(definition),
    }))
  );
}

/** The list in so many columns. */
export function listText(methods: readonly ListedMethod[], width: number): string {
  const label = 2 + Math.max(0, ...methods.map(({ name }) => name.length));
  const families = Map.groupBy(methods, ({ family }) => family);
  return [...families].flatMap(([family, own]) => [
    heading(family),
    ...own.map(({ name, summary }) => labelled(`  ${name}`, label, summary, width)),
    "",
  ]).concat(
    "One method's options: graft methods --show NAME",
    "What they cost on a model: graft methods -m MODEL",
  ).join("\n");
}

const heading = (family: string): string => family.charAt(0).toUpperCase() + family.slice(1);
