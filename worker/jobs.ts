/** What crosses to a worker: data alone, which structured cloning copies. */
import type { DType, GenerateOptions, Method, Prompt, QuantizeOptions } from "../core/mod.ts";
import type { AdapterData } from "../io/adapter_data.ts";
import type { ModelFiles } from "../io/model_files.ts";
import type { MethodRecord } from "../io/records/method_record.ts";
import type {
  AdamWSettings,
  EncodeOptions,
  SgdSettings,
  StepReport,
  Tokens,
  TrainOptions,
} from "../train/mod.ts";

/** Where a worker computes. */
export interface WorkerBackend {
  /** Default "auto": native where its kernels are installed, WASM elsewhere. */
  readonly name?: "auto" | "wasm" | "native" | "reference" | "gpu";
  /** Computing threads, for "wasm", "native" and "auto"; default: the machine's cores. */
  readonly threads?: number;
}

/** A model that a worker loads by itself. */
export interface WorkerModel {
  /** A folder, a GGUF file or a hub id as `loadModel` takes it, or, for pages, a checkpoint's files. */
  readonly model: string | ModelFiles;
  /** Convert the matrices to this dtype while loading; not for files of a page. */
  readonly dtype?: DType;
  /** Quantize on the way in; not for files of a page. */
  readonly quantize?: QuantizeOptions;
  /** Where to compute. */
  readonly backend?: WorkerBackend;
}

/** Examples as objects, of the shapes that `graft finetune` reads, and how they become rows. */
export interface WorkerRecords extends Partial<EncodeOptions> {
  /** `{ prompt, completion }`, `{ messages }`, `{ dialogue, summary }`, `{ text }` and others, as `examplesOf` takes them. */
  readonly records: readonly Readonly<Record<string, unknown>>[];
}

/** A schedule by its name; the steps of the run are known where it ends. */
export interface NamedSchedule {
  /** As the functions of these names. */
  readonly kind: "constant" | "linear" | "cosine" | "polynomial" | "inverseSquareRoot";
  /** Steps over which the rate rises; a number below 1 is a share of the run. Default 0. */
  readonly warmUp?: number;
}

/** An optimizer by its name, with its settings. */
export type NamedOptimizer =
  | ({ readonly kind: "adamw" | "adamw8bit" } & AdamWSettings)
  | ({ readonly kind: "sgd" } & SgdSettings);

/** Options of training that are data. */
export interface WorkerTrainOptions extends
  Pick<
    TrainOptions,
    | "learningRate"
    | "batching"
    | "accumulate"
    | "chunkTokens"
    | "epochs"
    | "maxSteps"
    | "clip"
    | "lossScale"
    | "labelSmoothing"
    | "checkpointBlocks"
    | "seed"
  > {
  /** Default: constant. */
  readonly schedule?: NamedSchedule;
  /** Default: AdamW. */
  readonly optimizer?: NamedOptimizer;
  /** The token to pad with; default: the tokenizer's, or 0. */
  readonly pad?: number;
}

/** A training run for a worker. */
export interface WorkerTraining extends WorkerModel {
  /** As `lora({ rank: 4 })` makes it, or its record: `{ method: "lora", config: { rank: 4 } }`. Methods are known by their names alone. */
  readonly method: Method | MethodRecord;
  /** Token rows, or examples that the worker tokenizes. */
  readonly data: readonly Tokens[] | WorkerRecords;
  /** How to train. */
  readonly training: WorkerTrainOptions;
  /** Seed of the adapter's initial parameters; default: that of the training. */
  readonly adapterSeed?: number;
}

/** A step's report, and how many there will be. */
export interface WorkerStep extends StepReport {
  /** Steps of the whole run. */
  readonly totalSteps: number;
}

/** Options of generation that are data. */
export type WorkerGenerateOptions = Omit<GenerateOptions, "signal" | "onToken" | "rows">;

/** Texts to write for a worker. */
export interface WorkerGeneration extends WorkerModel, WorkerGenerateOptions {
  /** What to continue. */
  readonly prompts: readonly Prompt[];
  /** What a training in a worker gave, `adapterData()` made, or an adapter's folder or hub id. Default: none. */
  readonly adapter?: AdapterData | string;
}
