/** What a person can do on the page: calls to the worker, and what they change. */
import type { ModelInfo, Parcel, RunSettings } from "../protocol.ts";
import type { CarriedFile, DataInfo } from "../protocol.ts";
import type { Client } from "./client.ts";
import { settingsOf } from "./settings.ts";
import type { Changes, Happening, State, Step } from "./state.ts";

/** What the page can do. */
export interface Actions {
  go(step: Step): void;
  useEmbedded(): Promise<void>;
  useFiles(files: readonly File[]): Promise<void>;
  useHub(id: string): Promise<void>;
  useKept(name: string): Promise<void>;
  useData(name: string, content: Blob | "embedded"): Promise<void>;
  leaveOut(): Promise<void>;
  choose(method: string): void;
  plan(): Promise<void>;
  start(): Promise<void>;
  goOn(): Promise<void>;
  pause(): Promise<void>;
  stop(): Promise<void>;
  compare(prompt: string, scale: number, tokens: number): Promise<void>;
  carry(parcel: Parcel): Promise<CarriedFile | undefined>;
  forget(): Promise<void>;
}

const messageOf = (error: unknown): string => error instanceof Error ? error.message : String(error);

/** The actions over a client. `now` gives the state at the moment. */
export function actionsOf(client: Client, now: () => State, happen: (happening: Happening) => void): Actions {
  const set = (change: Changes): void => happen({ kind: "set", with: change });
  /** Says what is done meanwhile, and what went wrong. */
  const during = async <T>(step: Step, busy: string, work: () => Promise<T>): Promise<T | undefined> => {
    set({ busy, problem: undefined });
    try {
      const result = await work();
      set({ busy: undefined, download: undefined });
      return result;
    } catch (error) {
      happen({ kind: "failed", step, text: messageOf(error) });
      return undefined;
    }
  };
  const chosen = async (busy: string, load: () => Promise<ModelInfo>): Promise<void> => {
    const model = await during("model", busy, load);
    if (model === undefined) return;
    set({ model, data: undefined, costs: {}, plan: undefined, step: "data" });
    void client.call("costs", {});
  };
  const looked = async (load: () => Promise<DataInfo>): Promise<void> => {
    const data = await during("data", "Reading the rows", load);
    if (data !== undefined) set({ data, plan: undefined });
  };
  const trained = async (
    settings: RunSettings,
    how: { readonly resume: boolean; readonly end: boolean },
  ): Promise<void> => {
    happen({ kind: "begun", settings, resumed: how.resume });
    if (how.end) happen({ kind: "run", state: "ending" });
    try {
      happen({ kind: "ended", end: await client.call("train", { settings, ...how }) });
    } catch (error) {
      happen({ kind: "run", state: "failed", problem: messageOf(error) });
    }
  };
  return {
    go: (step) => set({ step }),
    useEmbedded: () => chosen("Fetching the embedded model", () => client.call("useEmbedded", {})),
    useFiles: (files) => chosen("Reading the file", () => client.call("useFiles", { files })),
    useHub: (id) => chosen(`Fetching ${id}`, () => client.call("useHub", { id })),
    useKept: (name) => chosen("Reading the file", () => client.call("useKept", { name })),
    useData: (name, content) => looked(() => client.call("useData", { name, content })),
    leaveOut: () => looked(() => client.call("leaveOut", { name: now().data!.name })),
    choose: (method) => set({ method, options: {}, plan: undefined }),
    plan: async () => {
      const settings = settingsOf(now(), "runs/plan");
      if (settings === undefined) return;
      set({ plan: undefined });
      const plan = await during("method", "Computing what it costs", () => client.call("plan", settings));
      if (plan !== undefined) set({ plan });
    },
    start: async () => {
      const output = await client.call("freeOutput", { method: now().method });
      const settings = settingsOf(now(), output);
      if (settings !== undefined) await trained(settings, { resume: false, end: false });
    },
    goOn: () => trained(now().run!.settings, { resume: true, end: false }),
    pause: async () => {
      happen({ kind: "run", state: "pausing" });
      await client.call("pause", {});
    },
    stop: async () => {
      const { run } = now();
      if (run?.state === "paused") return await trained(run.settings, { resume: true, end: true });
      happen({ kind: "run", state: "ending" });
      await client.call("stop", {});
    },
    compare: async (prompt, scale, tokens) => {
      const { run, data } = now();
      set({ words: { before: "", after: "" } });
      const shape = data?.shape ?? "prompt/completion";
      const texts = await during(
        "compare",
        "Writing",
        () => client.call("compare", { settings: run!.settings, prompt, shape, scale, tokens }),
      );
      if (texts !== undefined) set({ words: texts });
    },
    carry: (parcel) =>
      during("carry", "Packing", () => client.call("carry", { settings: now().run!.settings, parcel })),
    forget: async () => {
      const { run } = now();
      if (run !== undefined) await client.call("forget", { output: run.settings.output });
      set({ run: undefined, step: "model" });
    },
  };
}
