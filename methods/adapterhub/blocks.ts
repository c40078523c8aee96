/** The blocks of AdapterHub's setups that are methods of their own. The io of setups knows them by what they are there. */
import type { Method, MethodDefinition } from "../../core/mod.ts";
import { adapterFusionDefinition } from "../adapters/adapter_fusion.ts";
import { averaged, averagedDefinition } from "../adapters/averaged.ts";
import { bySpans, bySpansDefinition } from "../adapters/by_spans.ts";
import { fusionTensors, readFusion, writeFusion } from "./fusion.ts";

type Methods = Readonly<Record<string, Method>>;

/** `Average`: the weighted mean of the branches' outputs. */
export const AVERAGE: {
  readonly definition: MethodDefinition;
  method(methods: Methods, weights: readonly number[]): Method;
} = {
  definition: averagedDefinition,
  method: (methods, weights) => averaged(methods, { weights, divided: true }) as Method,
};

/** `Split`: a branch for each span of a text. */
export const SPLIT: {
  readonly definition: MethodDefinition;
  method(methods: Methods, lengths: readonly number[]): Method;
} = {
  definition: bySpansDefinition,
  method: (methods, lengths) => bySpans(methods, lengths) as Method,
};

/** `Fuse`: attention over the branches' outputs. */
export const FUSE: {
  readonly definition: MethodDefinition;
  readonly read: typeof readFusion;
  readonly write: typeof writeFusion;
  readonly tensors: typeof fusionTensors;
} = {
  definition: adapterFusionDefinition,
  read: readFusion,
  write: writeFusion,
  tensors: fusionTensors,
};
