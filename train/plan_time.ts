/**
 * How long a run takes, before it starts. Its steps are taken on a backend that only records (`recordingShapes`), which tells the
 * kernels that a step calls, with their shapes; each kind of call is then timed on the backend that will compute, and
 * counted as often as the step makes it. So no weight is loaded, a model of forty layers takes hardly longer to measure
 * than one of four, and the estimate follows methods, architectures and optimizers as they are.
 */
import { type Adapter, type Backend, graft, lossAndGradients, type Model, type Tree } from "../core/mod.ts";
import type { CallCounts, RecordingBackend } from "../ops/recording.ts";
import { type CallSeconds, secondsOfAll, timeCalls } from "../ops/timed_calls.ts";
import { heldOutLoss } from "./evaluate.ts";
import type { MicroBatch } from "./micro_batch.ts";
import { pickRows, type Rows } from "./rows.ts";
import { placeholderRows } from "./placeholder_rows.ts";
import type { PlanOptions, RowSizes } from "./plan_options.ts";
import { epochSteps, paddedTokens, plannedStep, rowSizesOf } from "./planned_step.ts";
import type { GradientFunction } from "./training.ts";

/** The time that a run takes, in seconds. */
export interface TimePlan {
  /** Steps of an epoch. */
  readonly steps: number;
  /** A step, in the mean of an epoch. */
  readonly step: number;
  /** An epoch without its evaluations. */
  readonly epoch: number;
  /** One evaluation; 0 where nothing is held out. */
  readonly evaluation: number;
  /** Tokens of an epoch, padding excluded. */
  readonly tokens: number;
}

/** A plan, and what was measured for it, which the next plan on this backend need not measure again. */
export interface MeasuredTime {
  readonly plan: TimePlan;
  readonly known: CallSeconds;
}

/** What is measured with. */
export interface TimedRun<P extends Tree> {
  /** On the recorder's backend, as is the adapter. */
  readonly model: Model;
  readonly adapter: Adapter<P>;
  readonly recorder: RecordingBackend;
  /** The backend that will compute. */
  readonly backend: Backend;
  /** Measured before, on this backend. */
  readonly known?: CallSeconds;
  /** Seconds that measuring should take at most: with less, fewer of an epoch's batches are tried. Default 10. */
  readonly budget?: number;
}

/** Batches of an epoch that are tried: from the middle of equal parts of it, by size. */
const PARTS = 4;

/** Measures the time of a run. */
export async function planTime<P extends Tree>(
  run: TimedRun<P>,
  sizes: RowSizes,
  options: PlanOptions,
): Promise<MeasuredTime> {
  const { model, budget = 10 } = run;
  const start = performance.now();
  const spent = (): number => (performance.now() - start) / 1000;
  const steps = epochSteps(sizes, options, 0);
  const batches = steps.flatMap(({ microBatches }) => microBatches);
  const passes = Math.max(1, Math.round(batches.length / steps.length));
  const work = (batch: MicroBatch): number => paddedTokens(batch, sizes);
  let known = run.known ?? new Map();
  const measured: { readonly pass: number; readonly update: number; readonly work: number }[] = [];
  for (const batch of [...tried(batches, work)]) {
    // What one took, another one takes at most: they are of one epoch.
    if (measured.length > 0 && spent() * (measured.length + 1) / measured.length > budget) break;
    const one = await recordStep(run, paddedRows(model, batch, sizes, options), {
      ...options,
      accumulate: passes,
    });
    known = await timeCalls(run.backend, new Map([...one.passes, ...one.update]), known);
    measured.push({
      pass: secondsOfAll(one.passes, known) / passes + one.overhead / passes,
      update: secondsOfAll(one.update, known),
      work: work(batch),
    });
  }
  const total = (of: (one: typeof measured[number]) => number): number =>
    measured.reduce((sum, one) => sum + of(one), 0);
  const perToken = total(({ pass }) => pass) / total(({ work }) => work);
  const epoch = perToken * batches.reduce((sum, batch) => sum + work(batch), 0) +
    steps.length * total(({ update }) => update) / measured.length;
  const evaluated = await evaluationSeconds(run, known, options);
  return {
    plan: {
      steps: steps.length,
      step: epoch / steps.length,
      epoch,
      evaluation: evaluated.seconds,
      tokens: Array.from(sizes.lengths).reduce((sum, length) => sum + length, 0),
    },
    known: evaluated.known,
  };
}

/** The batches that are tried, those of the middle first. */
function tried(batches: readonly MicroBatch[], work: (batch: MicroBatch) => number): ReadonlySet<MicroBatch> {
  const sorted = batches.toSorted((a, b) => work(a) - work(b) || a.targets - b.targets);
  const at = (share: number): MicroBatch => sorted[Math.floor(share * sorted.length)]!;
  const shares = Array.from({ length: PARTS }, (_, i) => (i + 0.5) / PARTS);
  return new Set(shares.toSorted((a, b) => Math.abs(a - 0.5) - Math.abs(b - 0.5)).map(at));
}

/** Rows as long as they are with their padding, so that the passes of a step are alike whichever rows they take. */
function paddedRows(model: Model, batch: MicroBatch, sizes: RowSizes, options: PlanOptions): Rows {
  const { rowsOf = (sizes) => placeholderRows(model, sizes) } = options;
  const length = paddedTokens(batch, sizes) / batch.rows.length;
  return rowsOf(rowSizesOf(batch, sizes).map(({ targets }) => ({ length, targets })));
}

/** The calls of a step: in its passes, and after them; and the seconds that making them takes, computing nothing. */
async function recordStep<P extends Tree>(
  { model, adapter, recorder }: TimedRun<P>,
  batch: Rows,
  options: PlanOptions,
): Promise<{ readonly passes: CallCounts; readonly update: CallCounts; readonly overhead: number }> {
  const inner: GradientFunction = options.gradients ?? lossAndGradients;
  let passes: CallCounts = new Map();
  let between: CallCounts = new Map();
  let inPasses = 0;
  const step = await plannedStep(model, adapter, batch, {
    ...options,
    gradients: (...given) => {
      between = together(between, recorder.take());
      const start = performance.now();
      const result = inner(...given);
      inPasses = (performance.now() - start) / 1000;
      passes = together(passes, recorder.take());
      return result;
    },
  });
  recorder.take();
  await step.next();
  const update = together(between, recorder.take());
  step.dispose();
  return { passes, update, overhead: inPasses * (options.accumulate ?? 1) };
}

async function evaluationSeconds<P extends Tree>(
  run: TimedRun<P>,
  known: CallSeconds,
  options: PlanOptions,
): Promise<{ readonly seconds: number; readonly known: CallSeconds }> {
  const { evaluated } = options;
  if (evaluated === undefined || evaluated.lengths.length === 0) return { seconds: 0, known };
  const { model, adapter, recorder } = run;
  const { lengths, targets, batchSize } = evaluated;
  const sizes = Array.from(lengths, (length, n) => ({ length, targets: targets[n]! }))
    .sort((a, b) => b.length - a.length);
  const batches = Array.from(
    { length: Math.ceil(sizes.length / batchSize) },
    (_, i) => sizes.slice(i * batchSize, (i + 1) * batchSize),
  );
  const work = (batch: typeof sizes): number => batch.length * Math.max(...batch.map(({ length }) => length));
  const middle = batches[Math.floor(batches.length / 2)]!;
  const rows = placeholderRows(model, middle);
  const tuned = graft(model, adapter);
  recorder.take();
  await heldOutLoss(tuned, pickRows(rows, middle.map((_, n) => n)), { batchSize, pad: options.pad });
  const calls = recorder.take();
  const all = await timeCalls(run.backend, calls, known);
  const whole = batches.reduce((sum, batch) => sum + work(batch), 0);
  return { seconds: secondsOfAll(calls, all) * whole / work(middle), known: all };
}

function together(a: CallCounts, b: CallCounts): CallCounts {
  const sum = new Map(a);
  for (const [signature, { call, count }] of b) {
    sum.set(signature, { call, count: count + (sum.get(signature)?.count ?? 0) });
  }
  return sum;
}
