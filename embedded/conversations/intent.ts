/** The types for describing a domain: a desk is a kind of company, an intent one reason to contact it. */
import type { Source } from "./sources.ts";

/**
 * The outcome of a problem: the turns, beginning with the agent, and the agent's action as worded in a
 * summary.
 */
export interface Outcome {
  readonly turns: readonly string[];
  /** Verb phrases whose subject is the agent. */
  readonly deed: readonly string[];
}

/** One reason to contact a desk. All texts are templates (see grammar.ts). */
export interface Intent {
  readonly id: string;
  readonly facts: Readonly<Record<string, Source>>;
  /** The customer's opening. */
  readonly openings: readonly string[];
  /** Questions of the agent with the customer's answers. */
  readonly questions: readonly { readonly ask: string; readonly answer: string }[];
  readonly outcomes: readonly Outcome[];
  /**
   * Verb phrases whose subject is the customer. At least one mentions only facts that every opening mentions.
   */
  readonly problem: readonly string[];
}

/** A kind of company. */
export interface Desk {
  readonly companies: readonly string[];
  /** The kind of reference that identifies customers: "order number", "policy number". */
  readonly referenceNoun: string;
  readonly reference: Source;
  /** Departments, for calls that reach the wrong one. */
  readonly departments: readonly string[];
  readonly intents: readonly Intent[];
}
