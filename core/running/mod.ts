/** Running a model: logits, losses, gradients, generation, and what a method costs. @module */
export * from "./forward.ts";
export * from "./generate.ts";
export {
  eosTokenIds,
  type GeneratedToken,
  generateIds,
  type GenerateIdsOptions,
  type Sampler,
  type StopReason,
} from "./generate_ids.ts";
export * from "./capture_inputs.ts";
export * from "./method_costs.ts";
