/** What the page and its worker say to each other. Only types, so that either side's bundle has none of the other's code. */

/** A value of an option, as JSON. */
export type JsonValue =
  | string
  | number
  | boolean
  | null
  | readonly JsonValue[]
  | { readonly [name: string]: JsonValue };

/** What the tab can do. */
export interface Surroundings {
  /** Threads that share memory; 1 where the page is not cross-origin isolated. */
  readonly threads: number;
  readonly isolated: boolean;
  /** The name of the WebGPU adapter; absent where there is none. */
  readonly gpu?: string;
  /** Why nothing is kept in this tab's storage; absent where files are kept. */
  readonly notKept?: string;
  /** Models that lie in the tab's storage from earlier. */
  readonly models: readonly string[];
  /** A run that an earlier tab left. */
  readonly left?: RunState;
  /** How a run's training is set, by the names of the command line. */
  readonly training: readonly Setting[];
  /** Every method by family. */
  readonly families: readonly Family[];
}

/** One setting, from its schema. */
export interface Setting {
  readonly name: string;
  readonly help: string;
  /** In words: "a positive integer". */
  readonly what: string;
  /** The values, where they are a closed set. */
  readonly choices?: readonly string[];
  readonly isFlag?: true;
  /** The default; absent where leaving it out means something of its own. */
  readonly default?: JsonValue;
  /** Whether it stands among the first, not folded away. */
  readonly first?: true;
}

/** A family of methods. */
export interface Family {
  readonly name: string;
  readonly methods: readonly MethodInfo[];
}

/** A method as it is chosen. */
export interface MethodInfo {
  readonly name: string;
  readonly title: string;
  readonly summary: string;
  /** Why it cannot be chosen: it needs what a tab does not have. */
  readonly refused?: string;
  /** The learning rate of a short run. */
  readonly rate: number;
  readonly standard?: true;
  readonly options: readonly Setting[];
}

/** What a method costs on the model. */
export interface MethodCost {
  readonly method: string;
  /** Trained parameters. */
  readonly trainable?: number;
  /** Bytes of the adapter's file. */
  readonly bytes?: number;
  /** Why it does not fit the model. */
  readonly refused?: string;
}

/** A model that can be trained. */
export interface ModelInfo {
  /** Its path, as a command names it. */
  readonly name: string;
  readonly architecture: string;
  readonly parameters: number;
  readonly bytes: number;
  readonly layers: number;
  readonly width: number;
  readonly context: number;
  readonly chats: boolean;
  /** Bytes that a step on one row of 256 tokens takes. */
  readonly needs: number;
  /** What a person should know before going on. */
  readonly notes: readonly string[];
}

/** A part of a row's text. */
export interface RowPart {
  readonly text: string;
  readonly trained: boolean;
}

/** A line that cannot be used. */
export interface BadLine {
  readonly line: number;
  readonly why: string;
}

/** A data file, looked at. */
export interface DataInfo {
  /** Its path, as a command names it. */
  readonly name: string;
  readonly shape: string;
  readonly count: number;
  readonly tokens: number;
  readonly trained: number;
  readonly longest: number;
  /** The first rows as they are trained. */
  readonly rows: readonly {
    readonly line: number;
    readonly parts: readonly RowPart[];
    readonly tokens: number;
  }[];
  /** Lines that are left out when the person agrees. */
  readonly bad: readonly BadLine[];
  /** Prompts of the file, for comparing. */
  readonly prompts: readonly string[];
}

/** Everything that determines a run. */
export interface RunSettings {
  readonly model: string;
  readonly data: string;
  readonly output: string;
  readonly method: string;
  /** The method's own options that were given. */
  readonly options: Readonly<Record<string, JsonValue>>;
  /** Settings of training by the command line's names, as its words. */
  readonly training: Readonly<Record<string, string>>;
  readonly backend: "wasm" | "gpu";
  readonly threads: number;
}

/** A step or an evaluation, as the run's log has it. */
export interface RunEntry {
  readonly step: number;
  readonly loss?: number;
  readonly evalLoss?: number;
  readonly tokensPerSecond?: number;
  readonly memory?: number;
}

/** Where a run stands. */
export interface RunState {
  readonly settings: RunSettings;
  readonly state: "paused" | "done";
  readonly entries: readonly RunEntry[];
  readonly totalSteps: number;
  /** Another tab has it. */
  readonly elsewhere?: true;
}

/** The memory of a run, in bytes. */
export interface RunPlan {
  readonly total: number;
  readonly weights: number;
  readonly fits: boolean;
}

/** How a session of training ended. */
export interface RunEnd {
  readonly outcome: "finished" | "stopped early" | "interrupted";
  readonly step: number;
  readonly totalSteps: number;
  readonly seconds: number;
}

/** What can be carried away. */
export type Parcel = "peft" | "gguf" | "merged" | "merged-gguf";

/** A file to be saved, and what was done to get it. */
export interface CarriedFile {
  readonly name: string;
  readonly blob: Blob;
  /** The command line that makes the same. */
  readonly command: string;
  /** What the command said. */
  readonly said: string;
}

/** What is compared. */
export interface Comparing {
  readonly settings: RunSettings;
  readonly prompt: string;
  /** The shape of the data's records, by which the prompt is asked. */
  readonly shape: string;
  /** Of the adapter, from 0 to 1. */
  readonly scale: number;
  /** The most that are written. */
  readonly tokens: number;
}

/** What the model wrote without the adapter and with it. */
export interface ComparedTexts {
  readonly before: string;
  readonly after: string;
}

/** What is trained. */
export interface Training {
  readonly settings: RunSettings;
  /** Go on from the checkpoint. */
  readonly resume: boolean;
  /** End at once, with what the checkpoint has. */
  readonly end: boolean;
}

/** What the page asks for, and what it gets: by name, arguments and result. */
export interface Calls {
  open(given: { readonly hub: string; readonly threads?: number }): Surroundings;
  useEmbedded(given: Record<string, never>): ModelInfo;
  useFiles(given: { readonly files: readonly File[] }): ModelInfo;
  useHub(given: { readonly id: string }): ModelInfo;
  useKept(given: { readonly name: string }): ModelInfo;
  costs(given: Record<string, never>): null;
  useData(given: { readonly name: string; readonly content: Blob | "embedded" }): DataInfo;
  leaveOut(given: { readonly name: string }): DataInfo;
  plan(given: RunSettings): RunPlan;
  freeOutput(given: { readonly method: string }): string;
  train(given: Training): RunEnd;
  pause(given: Record<string, never>): null;
  /** Ends the run with what it has. */
  stop(given: Record<string, never>): null;
  compare(given: Comparing): ComparedTexts;
  carry(given: { readonly settings: RunSettings; readonly parcel: Parcel }): CarriedFile;
  forget(given: { readonly output: string }): null;
}

/** The name of a call. */
export type CallName = keyof Calls;

/** A call from the page. */
export interface Asked<N extends CallName = CallName> {
  readonly id: number;
  readonly call: N;
  readonly given: Parameters<Calls[N]>[0];
}

/** What the worker says: the answer to a call, or news. */
export type Said =
  | { readonly kind: "answer"; readonly id: number; readonly value: unknown }
  | { readonly kind: "failed"; readonly id: number; readonly message: string; readonly code?: string }
  | News;

/** News. */
export type News =
  | { readonly kind: "download"; readonly file: string; readonly received: number; readonly total: number }
  | { readonly kind: "cost"; readonly cost: MethodCost }
  | {
    readonly kind: "started";
    readonly step: number;
    readonly totalSteps: number;
    readonly trainable: number;
  }
  | { readonly kind: "entry"; readonly entry: RunEntry }
  | { readonly kind: "words"; readonly side: "before" | "after"; readonly text: string }
  | { readonly kind: "note"; readonly text: string }
  | { readonly kind: "storage"; readonly problem: string };
