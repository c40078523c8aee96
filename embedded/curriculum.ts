/**
 * The order of the pretraining texts: first mostly strings of random tokens that come again, then
 * conversations and requests to copy from them.
 */
import { fold, type Key } from "../tensor/key.ts";
import { conversation } from "./conversations/mod.ts";
import { chance, randomBelow } from "./conversations/grammar.ts";
import { aboutDialogue, lookUp, repeatFacts } from "./copying.ts";
import { paragraph } from "./corpus.ts";

/** A dialogue as a chat: the customer is the user, the agent the assistant. */
export function asChat(dialogue: string): string {
  return dialogue.split("\n").map((line) =>
    line.startsWith("Customer: ")
      ? `<|user|>\n${line.slice(10)}`
      : line.startsWith("Agent: ")
      ? `<|assistant|>\n${line.slice(7)}`
      : line
  ).join("\n");
}

/** Text number `index`: out of ten, six with requests about a dialogue, one dialogue, one paragraph, two lists. */
export function trainingText(seed: Key, index: number): string {
  const own = fold(fold(seed, "curriculum"), index);
  const talk = () => conversation(fold(seed, "pretraining"), index);
  switch (randomBelow(fold(own, "kind"), 10)) {
    case 0:
      return chance(fold(own, "chat"), 0.5) ? asChat(talk().dialogue) : talk().dialogue;
    case 1:
      return paragraph(own);
    case 2:
      return repeatFacts(own);
    case 3:
      return lookUp(own);
    default:
      return aboutDialogue(talk(), own);
  }
}
