/** What the methods of `graft compare` wrote, beside what was wanted; facts that the conversation lacks are marked. */
import { doubtful, hasColour, labelled } from "../terminal/text.ts";
import { factsIn, inventedFacts } from "../../train/mod.ts";
import type { WrittenSample } from "./measure.ts";
import type { MethodResult } from "./method.ts";

/** How the samples are printed. */
export interface SampleLayout {
  /** Number of conversations. */
  readonly count: number;
  /** Columns of the terminal. */
  readonly width: number;
  /** Words that are facts beside names, numbers and dates. */
  readonly terms: readonly string[];
}

/** The first conversations in short, what was wanted, what the untrained model wrote, and what each method did. */
export function samplesText(
  results: readonly MethodResult[],
  { count, width, terms }: SampleLayout,
): readonly string[] {
  const first = results[0]!;
  const samples = first.after.samples.slice(0, count);
  const label = Math.max(...results.map(({ title }) => title.length), "untrained".length);
  const line = (who: string, text: string): string => labelled(who, label, text, width);
  const answer = (who: string, { conversation, written }: WrittenSample): string =>
    line(who, marked(short(written.replace(/\s+/g, " ")), conversation, terms));
  if (samples.length === 0) return [];
  return [
    "",
    `Facts that the conversation lacks are ${hasColour() ? doubtful("marked") : `in ${doubtful("quotes")}`}.`,
    ...samples.flatMap((sample, i) => [
      "",
      ...inShort(sample.conversation, sample.reference, terms).map(([who, text]) => line(who, text)),
      line("wanted", sample.reference),
      answer("untrained", first.before.samples[i]!),
      ...results.map((r) => answer(r.title, r.after.samples[i]!)),
    ]),
  ];
}

/** Of a dialogue the sentences that tell a fact of the wanted summary, by speaker; of any other text its beginning. */
export function inShort(
  conversation: string,
  wanted: string,
  terms: readonly string[],
): readonly (readonly [speaker: string, text: string])[] {
  const facts = factsIn(wanted, { terms });
  const turns = conversation.split("\n").flatMap((turn) => {
    const [, who, said] = turn.match(/^(\w[\w ]{0,20}): (.+)$/) ?? [];
    if (who === undefined || said === undefined) return [];
    const sentences = said.split(/(?<=[.!?]) (?=\S)/);
    const telling = sentences.filter((sentence) => !factsIn(sentence, { terms }).isDisjointFrom(facts));
    return telling.length === 0 ? [] : [[who, telling.join(" … ")] as const];
  });
  return turns.length > 0 ? turns : [["given", short(conversation.replace(/\s+/g, " "))]];
}

function marked(written: string, conversation: string, terms: readonly string[]): string {
  const spans = inventedFacts({ conversation, written }, { terms });
  return spans.reduceRight(
    (text, [from, to]) => text.slice(0, from) + doubtful(text.slice(from, to)) + text.slice(to),
    written,
  );
}

/** An untrained model may repeat a word to the end. */
const short = (text: string): string => text.length <= 400 ? text : `${text.slice(0, 400)}…`;
