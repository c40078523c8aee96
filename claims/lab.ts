/** Where claims about training are tried: the embedded model on generated conversations, a few dozen steps per run. */
import { type Adapter, dispose, graft, type Method, type Model } from "../core/mod.ts";
import type { Tokenizer } from "../formats/tokenizer.ts";
import { tune } from "../notebooks/tune.ts";
import { openWorkshop, type Workshop } from "../notebooks/workshop.ts";
import { heldOutLoss } from "../train/mod.ts";

/** How long to look. */
export interface LabOptions {
  /** Optimizer steps of a run, default 16. */
  readonly steps?: number;
  /** Seeds of claims that compare two methods, default 2. */
  readonly seeds?: number;
}

/** How one run trains. */
export interface RunOptions {
  /** Peak learning rate. */
  readonly rate: number;
  readonly seed?: number;
  readonly steps?: number;
  /** The model to adapt; default the embedded one. */
  readonly model?: Model<Tokenizer>;
}

/** What one run gave. The adapter is the caller's. */
export interface Run {
  readonly adapter: Adapter;
  /** Loss of each step, before its update. */
  readonly losses: readonly number[];
  /** Median time of a step, in seconds. */
  readonly stepSeconds: number;
  /** Of the held-out conversations, afterwards. */
  readonly heldOut: number;
}

/** The laboratory. */
export interface Lab {
  readonly steps: number;
  readonly seeds: readonly number[];
  readonly shop: Workshop;
  /** Trains a method, or goes on with an adapter made elsewhere. */
  run(method: Method, options: RunOptions): Promise<Run>;
  /** Held-out loss of a model. */
  heldOut(model: Model<Tokenizer>): Promise<number>;
  close(): void;
}

/** Opens the laboratory: loads the model and makes the conversations. */
export async function openLab({ steps = 16, seeds = 2 }: LabOptions = {}): Promise<Lab> {
  const shop = await openWorkshop({ train: 96, heldOut: 8, maxTokens: 264 });
  const heldOut = async (model: Model<Tokenizer>): Promise<number> =>
    (await heldOutLoss(model, shop.heldOut, { batchSize: 8, pad: shop.pad })).loss;
  return {
    steps,
    seeds: Array.from({ length: seeds }, (_, i) => i),
    shop,
    heldOut,
    run: async (method, { rate, seed = 0, steps: own = steps, model = shop.model }) => {
      const times: number[] = [performance.now()];
      const run = await tune(shop, method, {
        ...{ steps: own, rate, batchSize: 4, seed, model },
        stepped: () => void times.push(performance.now()),
      });
      const each = times.slice(1).map((time, i) => (time - times[i]!) / 1000).sort((a, b) => a - b);
      return {
        adapter: run.adapter,
        losses: run.points.map(({ loss }) => loss),
        stepSeconds: each[Math.floor(each.length / 2)]!,
        heldOut: await heldOut(graft(model, run.adapter)),
      };
    },
    close: () => shop.close(),
  };
}

/** Mean held-out loss of a method over the laboratory's seeds. */
export async function meanHeldOut(
  lab: Lab,
  method: Method,
  options: Omit<RunOptions, "seed">,
): Promise<number> {
  let sum = 0;
  for (const seed of lab.seeds) {
    const { adapter, heldOut } = await lab.run(method, { ...options, seed });
    dispose(adapter.params);
    sum += heldOut;
  }
  return sum / lab.seeds.length;
}
