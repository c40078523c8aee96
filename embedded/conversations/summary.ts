/**
 * Faithful summaries: composed from the same facts as the dialogue, in different words. A phrase is used only
 * when the dialogue mentions every slot that the phrase mentions.
 */
import { fold, type Key } from "../../tensor/key.ts";
import { chance, expand, type Facts, type Phrase, pick, shuffle } from "./grammar.ts";

/** The material of a summary. */
export interface Material {
  readonly problem: readonly string[];
  readonly deed: readonly string[];
  readonly notes: readonly (readonly string[])[];
  readonly annoyed: boolean;
  /** Whether an agent other than the one who greeted solved it. */
  readonly handedOver: boolean;
}

const FRAMES = [
  "{who} {problem}. {helper} {deed}.",
  "{who} {problem}. {helper} {deed}.",
  "{who} {problem}, and {helper} {deed}.",
  "{who} {problem}; {helper} {deed}.",
] as const;

/** A summary of one to three sentences, or undefined when no phrase is faithful to the dialogue. */
export function summarize(
  material: Material,
  facts: Facts,
  told: ReadonlySet<string>,
  key: Key,
): string | undefined {
  const phrase = (templates: readonly string[], name: string): Phrase | undefined => {
    const here = fold(key, name);
    return shuffle(here, templates)
      .map((template, i) => expand(template, facts, fold(here, i)))
      .find(({ slots }) => slots.every((slot) => told.has(slot)));
  };
  const problem = phrase(material.problem, "problem");
  const deed = phrase(material.deed, "deed");
  const who = phrase(subjects(material.annoyed, told), "who");
  const helper = phrase(helpers(material.handedOver), "helper");
  if (!problem || !deed || !who || !helper) return undefined;
  const frame = pick(fold(key, "frame"), FRAMES);
  const inner = frame.startsWith("{who} {problem}.")
    ? helper.text
    : helper.text.replace(/^(The|Support)/, lower);
  const main = frame.replace("{who}", who.text).replace("{problem}", problem.text)
    .replace("{helper}", inner).replace("{deed}", deed.text);
  const notes = material.notes.map((templates, i) => phrase(templates, `note ${i}`)?.text ?? "")
    .filter((text) => text !== "");
  return [main, ...notes.slice(0, 1)].join(" ");
}

function subjects(annoyed: boolean, told: ReadonlySet<string>): readonly string[] {
  if (told.has("first") && told.has("last")) return ["{first} {last}", "{first} {last}", "{first}"];
  if (told.has("first")) return ["{first}"];
  return annoyed
    ? ["An annoyed customer", "An angry customer", "A customer"]
    : ["A customer", "The customer"];
}

function helpers(handedOver: boolean): readonly string[] {
  return ["The agent", "The agent", handedOver ? "{agent2}" : "{agent}", "{company}", "Support"];
}

const lower = (word: string): string => word.toLowerCase();

/** Whether a note is mentioned: most are. */
export function mentions(key: Key): boolean {
  return chance(key, 0.8);
}
