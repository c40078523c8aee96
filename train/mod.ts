/** Training: data, batches, schedules, metrics, loop. Imports only `core` and `ops`. @module */
export * from "./porter.ts";
export * from "./rouge.ts";
export * from "./faithfulness.ts";
export {
  indexJsonl,
  type JsonlFile,
  type JsonlIndex,
  type JsonlRecord,
  kindOf,
  type Location,
  openJsonl,
  readJsonl,
  showLocation,
  textField,
} from "./jsonl.ts";
export { type FileForm, fileForm } from "./records/files.ts";
export { readRecords } from "./records/read.ts";
export { openRecords } from "./records/open.ts";
export type { ChatMessage, Conversation } from "./messages.ts";
export {
  type FieldNames,
  RECORD_SHAPES,
  type RecordShape,
  renamedRecord,
  SHAPE_FIELDS,
  shapeOf,
} from "./record_shapes.ts";
export {
  contextOf,
  type Example,
  type ExampleOptions,
  examplesOf,
  INSTRUCTION,
  readExamples,
} from "./examples.ts";
export { type ConversationPart, conversationParts } from "./conversation.ts";
export * from "./example_file.ts";
export * from "./truncation.ts";
export * from "./encode.ts";
export type { EncodeOptions, ExampleTokenizer } from "./example_tokenizer.ts";
export * from "./shuffle.ts";
export { bucketBatches, type Buckets, type Row } from "./buckets.ts";
export * from "./packing.ts";
export { CHUNK_TOKENS, chunksOf, mostTokens } from "./chunks.ts";
export { alone, gatherJson, gatherNumbers, type World } from "./world.ts";
export * from "./batches.ts";
export type { BatchOptions, Position, Step } from "./epoch_plan.ts";
export type { ExampleSizes, MicroBatch } from "./micro_batch.ts";
export * from "./collate.ts";
export * from "./schedule.ts";
export * from "./early_stopping.ts";
export * from "./perplexity.ts";
export * from "./metrics_log.ts";
export * from "./rows.ts";
export { openPreferences, type Preference, type PreferenceFile, preferenceOf } from "./preferences.ts";
export { batchScores, type Objective, objectiveGradients, type Scores } from "./objectives/objective.ts";
export { answerLogProbabilities } from "./objectives/log_probabilities.ts";
export type { PreferenceBatch } from "./objectives/preference.ts";
export { dpo, type DpoOptions } from "./objectives/dpo.ts";
export { orpo, type OrpoOptions } from "./objectives/orpo.ts";
export { reward, type RewardOptions } from "./objectives/reward.ts";
export {
  cosent,
  type GroupBatch,
  ranking,
  triplet,
  type VectorObjective,
  type VectorsOf,
} from "./objectives/embedding.ts";
export { type GroupFile, groupOf, type GroupShape, openGroups, type TextGroup } from "./groups.ts";
export { type GroupRows, groupRows, groupRowsFrom, type TokenGroup } from "./objectives/group_rows.ts";
export { type RetrievalScores, retrievalScores } from "./retrieval_metrics.ts";
export { distill, type DistillOptions } from "./objectives/distill.ts";
export {
  evaluateObjective,
  type ObjectiveEvaluation,
  type ObjectiveEvaluationOptions,
} from "./objectives/evaluate.ts";
export {
  type PreferenceRows,
  preferenceRows,
  preferenceRowsFrom,
  type TokenPair,
} from "./objectives/preference_rows.ts";
export { type ReferenceStore, withReference } from "./objectives/reference_rows.ts";
export * from "./text_rows.ts";
export * from "./optimizer.ts";
export * from "./clip.ts";
export { type ApplyOptions, type Moments, resident, type SlotBytes } from "./moments.ts";
export * from "./paged.ts";
export * from "./training.ts";
export * from "./loop.ts";
export { firstLossScale, type LossScale, type LossScaleOptions, nextLossScale } from "./loss_scale.ts";
export * from "./evaluate.ts";
export { type Fisher, fisher, type FisherOptions } from "../core/mod.ts";
export * from "./plan.ts";
export * from "./plan_options.ts";
export type { RowSize } from "./placeholder_rows.ts";
export * from "./generated_scores.ts";
export {
  type LabelledExample,
  labelledExampleOf,
  type LabelledKind,
  labelledKindOf,
  type LabelledOptions,
  readLabelledExamples,
  type Texts,
} from "./labelled_examples.ts";
export { type LabelledExamples, type LabelledFile, openLabelledExamples } from "./labelled_file.ts";
export { labelNames } from "./labelled_names.ts";
export * from "./labelled_rows.ts";
export * from "./pair_truncation.ts";
export * from "./seq2seq_rows.ts";
export * from "./metrics_classification.ts";
export * from "./predict.ts";
