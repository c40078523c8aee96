/** What the page knows, and how it changes: a pure function from what was and what happened to what is. */
import type {
  DataInfo,
  JsonValue,
  MethodCost,
  ModelInfo,
  News,
  RunEnd,
  RunEntry,
  RunPlan,
  RunSettings,
  Surroundings,
} from "../protocol.ts";

/** The steps of the page, in their order. */
export const STEPS = ["model", "data", "method", "train", "compare", "carry"] as const;

/** The name of a step. */
export type Step = typeof STEPS[number];

/** Where a run stands. */
export interface Run {
  readonly settings: RunSettings;
  readonly state: "starting" | "training" | "pausing" | "ending" | "paused" | "done" | "failed";
  readonly entries: readonly RunEntry[];
  readonly totalSteps: number;
  readonly trainable?: number;
  /** When this session's first step began, and at which step, in milliseconds. */
  readonly since?: { readonly step: number; readonly at: number };
  readonly problem?: string;
  /** Another tab has it. */
  readonly elsewhere?: true;
}

/** Everything. */
export interface State {
  readonly step: Step;
  readonly surroundings?: Surroundings;
  /** What is being done, in words; the page waits for it. */
  readonly busy?: string;
  readonly download?: { readonly file: string; readonly received: number; readonly total: number };
  /** What went wrong at a step. */
  readonly problem?: { readonly step: Step; readonly text: string };
  /** Of the storage, which does not stop anything. */
  readonly storage?: string;
  readonly model?: ModelInfo;
  readonly data?: DataInfo;
  readonly method: string;
  readonly options: Readonly<Record<string, JsonValue>>;
  readonly training: Readonly<Record<string, string>>;
  readonly backend: "wasm" | "gpu";
  readonly costs: Readonly<Record<string, MethodCost>>;
  readonly plan?: RunPlan;
  readonly run?: Run;
  readonly words: { readonly before: string; readonly after: string };
  readonly notes: readonly string[];
}

/** New values; undefined takes one away. */
export type Changes = { readonly [N in keyof State]?: State[N] | undefined };

/** What happens. */
export type Happening =
  | { readonly kind: "set"; readonly with: Changes }
  | { readonly kind: "failed"; readonly step: Step; readonly text: string }
  | { readonly kind: "option"; readonly name: string; readonly value: JsonValue | undefined }
  | { readonly kind: "training"; readonly name: string; readonly value: string | undefined }
  | { readonly kind: "begun"; readonly settings: RunSettings; readonly resumed: boolean }
  | { readonly kind: "run"; readonly state: Run["state"]; readonly problem?: string }
  | { readonly kind: "ended"; readonly end: RunEnd }
  | { readonly kind: "news"; readonly news: News; readonly at: number };

/** How many notes are kept. */
const NOTES = 200;

/** The state at first. */
export const START: State = {
  step: "model",
  method: "lora",
  options: {},
  training: {},
  backend: "wasm",
  costs: {},
  words: { before: "", after: "" },
  notes: [],
};

/** The state after something happened. */
export function next(state: State, happened: Happening): State {
  switch (happened.kind) {
    case "set":
      return withChanges(state, happened.with);
    case "failed": {
      const { busy: _busy, download: _download, ...rest } = state;
      return { ...rest, problem: { step: happened.step, text: happened.text } };
    }
    case "option":
      return { ...state, options: changed(state.options, happened.name, happened.value) };
    case "training":
      return { ...state, training: changed(state.training, happened.name, happened.value) };
    case "begun": {
      const { settings, resumed } = happened;
      const { problem: _, ...rest } = state;
      const earlier = resumed ? state.run : undefined;
      return {
        ...rest,
        step: "train",
        notes: resumed ? state.notes : [],
        run: {
          settings,
          state: "starting",
          entries: earlier?.entries ?? [],
          totalSteps: earlier?.totalSteps ?? 0,
        },
      };
    }
    case "run":
      return ofRun(state, (run) => ({
        ...run,
        state: happened.state,
        ...happened.problem !== undefined && { problem: happened.problem },
      }));
    case "ended":
      return ofRun(state, (run) => ({
        ...run,
        state: happened.end.outcome === "interrupted" ? "paused" : "done",
        totalSteps: happened.end.totalSteps,
      }));
    case "news":
      return afterNews(state, happened.news, happened.at);
    default:
      return happened satisfies never;
  }
}

function afterNews(state: State, news: News, at: number): State {
  switch (news.kind) {
    case "download": {
      const { file, received, total } = news;
      return { ...state, download: { file, received, total } };
    }
    case "cost":
      return { ...state, costs: { ...state.costs, [news.cost.method]: news.cost } };
    case "started":
      return ofRun(state, (run) => ({
        ...run,
        state: run.state === "starting" ? "training" : run.state,
        totalSteps: news.totalSteps,
        trainable: news.trainable,
        // What came after the checkpoint is done again.
        entries: run.entries.filter(({ step }) => step <= news.step),
        since: { step: news.step, at },
      }));
    case "entry":
      return ofRun(state, (run) => ({ ...run, entries: [...run.entries, news.entry] }));
    case "words":
      return { ...state, words: { ...state.words, [news.side]: state.words[news.side] + news.text } };
    case "note":
      return { ...state, notes: [...state.notes, news.text].slice(-NOTES) };
    case "storage":
      return { ...state, storage: news.problem };
    default:
      return news satisfies never;
  }
}

const ofRun = (state: State, change: (run: Run) => Run): State =>
  state.run === undefined ? state : { ...state, run: change(state.run) };

/** A record with another value, or without one. */
function changed<T>(
  of: Readonly<Record<string, T>>,
  name: string,
  value: T | undefined,
): Readonly<Record<string, T>> {
  const { [name]: _, ...rest } = of;
  return value === undefined ? rest : { ...rest, [name]: value };
}

/** A state with other values, and without those that are set to undefined. */
function withChanges(state: State, changes: Changes): State {
  const all = Object.entries({ ...state, ...changes }).filter(([, value]) => value !== undefined);
  return Object.fromEntries(all) as unknown as State;
}

/** Whether a run goes on at the moment. */
export const isRunning = ({ run }: Pick<State, "run">): boolean =>
  run !== undefined && ["starting", "training", "pausing", "ending"].includes(run.state);

/** Whether a step can be gone to. */
export function isOpen(state: State, step: Step): boolean {
  switch (step) {
    case "model":
      return true;
    case "data":
    case "method":
      return state.model !== undefined;
    case "train":
      return state.run !== undefined || (state.model !== undefined && state.data !== undefined);
    case "compare":
    case "carry":
      return state.run?.state === "done";
    default:
      return step satisfies never;
  }
}
