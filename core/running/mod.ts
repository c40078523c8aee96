/** Running a model: logits, losses, gradients, generation, and what a method costs. @module */
export * from "./forward.ts";
export { type LabelledLogits, labelledLogits, loss, type LossOptions } from "./loss.ts";
export * from "./loss_and_gradients.ts";
export * from "./generate.ts";
export {
  eosTokenIds,
  type GeneratedToken,
  generateIds,
  type GenerateIdsOptions,
  type Sampler,
  type StopReason,
} from "./generate_ids.ts";
export * from "./heed.ts";
export * from "./capture_inputs.ts";
export * from "./fisher.ts";
export * from "./method_costs.ts";
