/** The worker: everything that takes longer than a moment. It answers the page's calls, the long ones one after another. */
/// <reference lib="dom" />
import { errorCode } from "../../errors/error.ts";
import type { RecordShape } from "../../train/mod.ts";
import { openStorage, type Storage } from "../files/opfs.ts";
import { sendSignal } from "../node/process.ts";
import { standardStreams } from "../node/streams.ts";
import { volume } from "../node/volume.ts";
import type { Asked, CallName, Calls, DataInfo, ModelInfo, Said, Surroundings } from "../protocol.ts";
import { carry } from "./carry.ts";
import { closeComparison, compareTexts, type Comparison, openComparison } from "./compare.ts";
import type { Context } from "./context.ts";
import { leaveOut, useData } from "./data.ts";
import { families, tellCosts, trainingSettings } from "./methods.ts";
import { modelInfo, modelsIn, useEmbedded, useFiles, useHub } from "./models.ts";
import { forget, freeOutput, holder, leftRun, planned, train } from "./runs.ts";

// The checker knows the globals of a window here, not those of a worker.
const port = globalThis as unknown as {
  onmessage: (event: MessageEvent<Asked>) => void;
  postMessage(message: Said): void;
};
const tell = (said: Said): void => port.postMessage(said);

/** What the tab holds at the moment. */
interface Held {
  context: Context;
  model?: ModelInfo;
  data?: DataInfo;
  comparison?: Comparison;
  /** Whether the run is to end with what it has. */
  enough: boolean;
}

const held: Held = { context: { volume, storage: undefined, hub: "", tell }, enough: false };
const hold = holder();

standardStreams.listen((stream, text) => {
  if (stream === 2 && text.trim() !== "") tell({ kind: "note", text: text.trim() });
});

/** Answers by call. */
const answers: {
  readonly [N in CallName]: (given: Parameters<Calls[N]>[0]) => Promise<ReturnType<Calls[N]>>;
} = {
  open: async ({ hub, threads }) => {
    let storage: Storage | undefined;
    let notKept: string | undefined;
    try {
      storage = await openStorage(volume, (problem) => tell({ kind: "storage", problem }));
    } catch (error) {
      notKept = `This browser keeps no files for this page (${
        (error as Error).message
      }): a run is lost when the tab closes`;
    }
    held.context = { volume, storage, hub, tell };
    const gpu = await gpuName();
    const left = await leftRun(held.context);
    const cores = Math.min(8, navigator.hardwareConcurrency);
    return {
      threads: crossOriginIsolated ? threads ?? cores : 1,
      isolated: crossOriginIsolated,
      ...gpu !== undefined && { gpu },
      ...notKept !== undefined && { notKept },
      models: modelsIn(held.context),
      ...left && { left },
      training: trainingSettings(),
      families: families(),
    } satisfies Surroundings;
  },
  useEmbedded: async () => chosen(await useEmbedded(held.context)),
  useFiles: async ({ files }) => chosen(await useFiles(held.context, files)),
  useHub: async ({ id }) => chosen(await useHub(held.context, id)),
  useKept: async ({ name }) => chosen(await modelInfo(name)),
  costs: async () => {
    const { model } = held;
    if (model !== undefined) {
      await tellCosts(model.name, (cost) => tell({ kind: "cost", cost }), () => held.model !== model);
    }
    return null;
  },
  useData: async (given) => held.data = await useData(held.context, held.model!.name, given),
  leaveOut: async ({ name }) => held.data = await leaveOut(held.context, held.model!.name, name),
  plan: (settings) => planned(settings),
  freeOutput: ({ method }) => freeOutput(held.context, method),
  train: async (given) => {
    await hold(given.settings.output);
    release();
    held.enough = given.end;
    return await train(held.context, given, () => held.enough);
  },
  pause: () => {
    sendSignal("SIGINT");
    return Promise.resolve(null);
  },
  stop: () => {
    held.enough = true;
    return Promise.resolve(null);
  },
  compare: async ({ settings, shape, ...asked }) => {
    if (held.comparison?.settings.output !== settings.output) {
      release();
      held.comparison = await openComparison(settings);
    }
    return await compareTexts(
      held.comparison!,
      { ...asked, shape: shape as RecordShape },
      (side, text) => tell({ kind: "words", side, text }),
    );
  },
  carry: ({ settings, parcel }) => {
    release();
    return carry(volume, settings, parcel);
  },
  forget: async ({ output }) => {
    release();
    await forget(held.context, output);
    return null;
  },
};

/** Calls that do not wait for others. */
const AT_ONCE: readonly CallName[] = ["pause", "stop", "costs"];

function chosen(model: ModelInfo): ModelInfo {
  release();
  delete held.data;
  return held.model = model;
}

/** Frees the model that was loaded for comparing. */
function release(): void {
  closeComparison(held.comparison);
  delete held.comparison;
}

async function gpuName(): Promise<string | undefined> {
  const { gpu } = navigator as { readonly gpu?: { requestAdapter(): Promise<Adapter | null> } };
  const adapter = await gpu?.requestAdapter().catch(() => null);
  if (!adapter) return undefined;
  const { description, vendor, architecture } = adapter.info;
  return description || [vendor, architecture].filter((word) => word !== "").join(" ") || "WebGPU";
}

interface Adapter {
  readonly info: { readonly description: string; readonly vendor: string; readonly architecture: string };
}

let waiting: Promise<unknown> = Promise.resolve();

port.onmessage = ({ data: { id, call, given } }) => {
  const work = async (): Promise<void> => {
    try {
      const answer = answers[call] as (given: unknown) => Promise<unknown>;
      tell({ kind: "answer", id, value: await answer(given) });
    } catch (error) {
      const code = errorCode(error);
      const message = error instanceof Error ? error.message : String(error);
      tell({ kind: "failed", id, message, ...code !== undefined && { code } });
    }
  };
  if (AT_ONCE.includes(call)) void work();
  else waiting = waiting.then(work);
};
