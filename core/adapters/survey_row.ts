/** What the survey of Lialin et al. says of a method. */

/** Whether a method saves storage, memory or backward passes. */
export type SurveyAnswer = "yes" | "no" | "maybe";

/**
 * A method's row of tables 1 and 2 of "PEFT: Parameter-Efficient Fine-Tuning Methods for LLMs" (2025), the article that
 * summarizes the survey of Lialin et al. (arXiv 2303.15647), as printed, for comparison with computed values.
 */
export interface SurveyRow {
  /** Its classes: additive, selective, reparametrising. */
  readonly kinds: string;
  /** Whether a checkpoint is small. */
  readonly storage: SurveyAnswer;
  /** Whether training needs less memory. */
  readonly memory: SurveyAnswer;
  /** Whether the backward pass is cheaper. */
  readonly backward: SurveyAnswer;
  /** What inference costs besides. */
  readonly overhead: string;
  /** Percentages of the model's parameters that train. */
  readonly trainable?: string;
  /** Percentages that change. */
  readonly changed?: string;
  /** Why computed cells differ, where the sources say so. */
  readonly differs?: string;
}
