/** What a domain writer fills in: a desk is a kind of company, an intent one reason to contact it. */
import type { Source } from "./sources.ts";

/** How a problem ends: what is said, beginning with the agent, and the agent's deed as a summary puts it. */
export interface Outcome {
  readonly turns: readonly string[];
  /** Verb phrases whose subject is the agent. */
  readonly deed: readonly string[];
}

/** One reason to contact a desk. All texts are templates (see grammar.ts). */
export interface Intent {
  readonly id: string;
  readonly facts: Readonly<Record<string, Source>>;
  /** What the customer says first. */
  readonly openings: readonly string[];
  /** Questions of the agent with the customer's answers. */
  readonly questions: readonly { readonly ask: string; readonly answer: string }[];
  readonly outcomes: readonly Outcome[];
  /** Verb phrases whose subject is the customer. At least one tells only what every opening tells. */
  readonly problem: readonly string[];
}

/** A kind of company. */
export interface Desk {
  readonly companies: readonly string[];
  /** What its customers are known by: "order number", "policy number". */
  readonly referenceNoun: string;
  readonly reference: Source;
  /** For calls that reach the wrong one. */
  readonly departments: readonly string[];
  readonly intents: readonly Intent[];
}
