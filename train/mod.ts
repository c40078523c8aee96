/** Training: data, batches, schedules, metrics, loop. Imports `core` and `ops` only. @module */
export * from "./porter.ts";
export * from "./rouge.ts";
export * from "./jsonl.ts";
export * from "./examples.ts";
export * from "./example_file.ts";
export * from "./truncation.ts";
export * from "./encode.ts";
export * from "./shuffle.ts";
export { bucketBatches, type Buckets, type Row } from "./buckets.ts";
export * from "./packing.ts";
export * from "./batches.ts";
export * from "./collate.ts";
export * from "./schedule.ts";
export * from "./early_stopping.ts";
export * from "./perplexity.ts";
export * from "./metrics_log.ts";
