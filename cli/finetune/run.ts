/** `graft finetune`: a run from its first step, or from a checkpoint, to the folder with the result. */
import { count, graft, memory, resetPeak } from "../../core/mod.ts";
import { loadTask } from "../../io/task_file.ts";
import { openRunFolder } from "../../io/run_folder.ts";
import { checkpointShapes } from "../../io/model_shapes.ts";
import { saveParams, saveTrainingState, type StateRecord } from "../../io/training_state.ts";
import { supervise } from "../../recipes/supervised.ts";
import { alone, type StepReport, type World } from "../../train/mod.ts";
import { Exit } from "../terminal/arguments.ts";
import { rowLength } from "../data.ts";
import { begin, type Run } from "./begin.ts";
import { checkFrom, openFrom } from "./from.ts";
import { aimOf, checkObjective } from "./objective.ts";
import { withReferences } from "./reference.ts";
import { openRunData } from "./preference_data.ts";
import { type Evaluation, evaluator, padOf, showEvaluation } from "./evaluation.ts";
import { baseHash } from "../../tuning/run_identity.ts";
import type { RunFlags } from "./run_flags.ts";
import { agreeOn, anyRank, checkWork, NEVER, rankFolder } from "./rank_parts.ts";
import { report, type Result } from "./report.ts";
import { stagesOf } from "./training_options.ts";
import { baseOf, openEvaluated, planOf } from "./plan.ts";
import { heldOutOf, plannedSizes } from "./planned_sizes.ts";
import { writeResult } from "./result.ts";
import { noteFirstRow } from "./first_row.ts";
import { fullNote, modeOf, skipNote } from "./run_notes.ts";
import { startIn } from "./start.ts";
import { withRunsBackend } from "./where.ts";
import { batchingOf, chosenFlags, fingerprint, stoppingOf } from "./settings.ts";
import { commandLineOf } from "../../tuning/chosen_method.ts";
import { taskFor } from "./task.ts";
import { endsWhenWarned, INTERRUPTED, interruptible } from "../terminal/interrupt.ts";
import { checkBudget, checkPrecision, dtypeOf, localSource, openModel } from "../load.ts";
import { modelSource } from "../model_source.ts";
import { checkFlags } from "../../tuning/method_from_flags.ts";
import { note, showBytes, showCount, showUnits } from "../terminal/output.ts";
import { checkProfile, stepProfiler } from "./profile.ts";
import { progress } from "../terminal/progress.ts";

/** Runs, and reports the result. @param world The processes that train together. */
export async function runFinetune(flags: RunFlags, world: World = alone): Promise<void> {
  const result = await finetuneResult(flags, world);
  report(flags, result);
  if (result.outcome === "interrupted") throw new Exit(INTERRUPTED);
}

/** A result with the planned memory, and the peak before or after the steps. */
export type Reported = Parameters<typeof report>[1];

/** What hears of a run as it goes, as its log does. */
export interface RunListener {
  /** Before the first step of this session. */
  started?(run: RunSizes): void;
  /** After each step; `memory` is the peak of live bytes so far. */
  stepped?(step: StepReport & { readonly tokensPerSecond: number; readonly memory: number }): void;
  /** After each evaluation. */
  evaluated?(evaluation: Evaluation & { readonly step: number }): void;
  /** Whether the run is to end here with what it has. Asked between steps. */
  enough?(): boolean | Promise<boolean>;
}

/** How large a run is, and how far it has come. */
export interface RunSizes {
  readonly step: number;
  readonly totalSteps: number;
  readonly trainable: number;
  readonly base: number;
}

/** Runs to the end, or until a signal stops it. */
export async function finetuneResult(
  given: RunFlags,
  world: World = alone,
  listener: RunListener = {},
): Promise<Reported> {
  using starting = endsWhenWarned();
  const chosen = await chosenFlags(given);
  checkFlags(chosen);
  checkObjective(chosen);
  checkFrom(chosen);
  const folder = rankFolder(openRunFolder(chosen.output, modeOf(chosen)), world);
  let flags = await withRunsBackend(chosen, folder);
  checkBudget(flags);
  checkProfile(flags);
  checkPrecision(flags);
  const named = await modelSource(flags);
  const source = await localSource(named);
  const task = (flags.from === undefined ? undefined : await loadTask(flags.from)) ??
    await taskFor(flags, checkpointShapes(source));
  const { shapes, quantize, fresh } = baseOf(source, flags, task);
  const line = commandLineOf(flags.definition);
  if (line.quantize !== undefined && quantize === undefined) {
    note(`The base is quantized already: it stays as it is under ${flags.method}`);
  }
  const opened = await openModel({ ...flags, model: source }, {
    ...dtypeOf(flags),
    ...quantize !== undefined && { quantize },
    ...task !== undefined && { task },
  });
  try {
    const model = { ...opened.base, source: named };
    const loadedFrom = await openFrom(flags, model);
    const { from } = loadedFrom;
    flags = loadedFrom.flags;
    const { tokenizer } = model;
    const maxLength = rowLength(flags, model);
    const opening = { early: true, world };
    const parts = { ...flags, ...heldOutOf(flags) };
    using read = await openRunData(parts, model, tokenizer, maxLength, opening);
    using readOther = await openEvaluated(flags, model, tokenizer, maxLength, opening);
    noteFirstRow(read, tokenizer);
    const plan = await planOf(shapes, flags, await plannedSizes(read, readOther), maxLength, fresh, from);
    shapes.dispose();
    const sampled = read.train.sized === undefined ? "" : ", by a sample of the rows";
    note(
      `Memory planned: ${showBytes(plan.total)}, of which ${showBytes(plan.weights)} are weights${sampled}`,
    );
    const full = read.train.sized === undefined ? fullNote(read.full(), maxLength, flags) : undefined;
    if (full !== undefined) note(full);
    const record: StateRecord = {
      base: await baseHash(model),
      data: read.sha256,
      ...readOther !== undefined && { evalData: readOther.sha256 },
      options: fingerprint(flags, maxLength),
      ...opened.backend.kernels !== undefined && { kernels: opened.backend.kernels },
    };
    await agreeOn(world, record, opened.backend);
    checkWork(world, read.train, {
      batching: batchingOf(flags, maxLength),
      accumulate: flags.accumulate,
      chunkTokens: flags.chunkTokens,
    });
    const loaded = memory(opened.backend).peak;
    const pad = padOf(tokenizer);
    using aim = await aimOf(flags, model);
    using referred = await withReferences(
      { flags, folder, model, from, record, pad, world },
      read,
      readOther,
    );
    const { data, other } = referred;
    const stages = stagesOf(flags, data.train, maxLength, pad, world, aim?.objective);
    const seen = { rows: data.train, batchSize: flags.batchSize, pad, stages, objective: aim?.objective };
    resetPeak();
    const started = await startIn({ model, flags, data: seen, fresh, folder, record, from });
    // Until here a signal terminates the program immediately.
    starting[Symbol.dispose]();
    using interrupt = interruptible();
    const preparing = memory(opened.backend).peak;
    resetPeak();
    const trained = await train({
      flags,
      folder,
      model,
      started,
      task,
      data,
      other,
      record,
      interrupt,
      maxLength,
      aim,
      world,
    }, listener);
    // The memory of earlier stages is part of the run's peak.
    const peak = line.stages ? Math.max(preparing, trained.peak) : trained.peak;
    const result = { ...trained, peak };
    const peakElsewhere = Math.max(loaded, preparing, memory(opened.backend).peak);
    return { ...result, planned: plan.total, peakElsewhere };
  } finally {
    opened.close();
  }
}

async function train(run: Run, listener: RunListener): Promise<Result> {
  const { flags, folder, data, interrupt, world } = run;
  const { model, adapter } = run.started;
  const sizes = count(model, adapter);
  const { training, reached, metrics } = await begin(run);
  using log = metrics;
  const shown = progress(training.totalSteps, training.step);
  shown.say(
    `Training ${showCount(sizes.trainable)} of ${showCount(sizes.base)} parameters by ${flags.method} on ` +
      `${showUnits(data.train.count, "example")}, ${showUnits(training.totalSteps, "step")}` +
      `${training.step > 0 ? ` from step ${training.step}` : ""}`,
  );
  const { step, totalSteps } = training;
  listener.started?.({ step, totalSteps, trainable: sizes.trainable, base: sizes.base });
  let isOver = false;
  // What the rows say when all of them are counted; what is wrong with one of them, the next step says.
  void data.train.sized?.().then(() => {
    const full = fullNote(data.full(), run.maxLength, flags);
    if (full !== undefined && !isOver) shown.say(full);
  }, () => {});
  const evaluation = evaluator(
    flags,
    data,
    run.other,
    // Several ranks stop between steps, where they agree on it.
    world.size === 1 ? interrupt : NEVER,
    world,
    run.aim && { objective: run.aim.objective, base: run.model },
  );
  const perEpoch = Math.max(1, Math.ceil(training.totalSteps / flags.epochs));
  const evaluateEvery = evaluation === undefined ? undefined : flags.evalEvery ?? perEpoch;
  const stopping = stoppingOf(flags);
  const evaluations: (Evaluation & { readonly step: number })[] = [];
  const profiler = flags.profile === true ? stepProfiler(model.backend) : undefined;
  const started = performance.now();
  let [before, tokens] = [started, 0];
  let firstLoss: number | undefined, lastLoss: number | undefined;
  try {
    const { outcome, progress: end } = await supervise(training, {
      saveEvery: flags.saveEvery ?? Math.min(50, evaluateEvery ?? 50),
      ...evaluateEvery !== undefined && { evaluateEvery },
      ...stopping !== undefined && { stopping },
    }, {
      stepped: (report) => {
        const now = performance.now();
        const seconds = (now - before) / 1000;
        before = now;
        tokens += report.tokens;
        firstLoss ??= report.loss;
        lastLoss = report.loss;
        const tokensPerSecond = report.tokens / seconds;
        const { metrics = {}, ...own } = report;
        log.append({ ...own, ...metrics, tokensPerSecond, seconds });
        shown.step({ step: report.step, loss: report.loss, tokensPerSecond });
        listener.stepped?.({ ...report, tokensPerSecond, memory: memory(model.backend).peak });
        if (report.skipped) shown.say(skipNote(report));
        profiler?.stepped();
      },
      evaluate: async () => {
        const rows = run.other?.train.count ?? data.heldOut.count;
        const measuring = shown.meanwhile("Evaluating", rows, "rows");
        let passed = 0;
        try {
          return await evaluation!(graft(model, training.adapter()), (more) => {
            measuring.at(Math.min(rows, passed += more));
          });
        } finally {
          measuring.stop();
        }
      },
      evaluated: (step, found) => {
        before = performance.now();
        evaluations.push({ step, ...found });
        const { loss: evalLoss, ...rest } = found;
        log.append({ step, evalLoss, ...rest });
        shown.say(`step ${step}: held-out ${showEvaluation(found)}`);
        listener.evaluated?.({ step, ...found });
      },
      keepBest: async (step, params) => {
        if (world.rank === 0) await saveParams(folder.best, step, params);
      },
      save: async (snapshot, now) => {
        if (world.rank !== 0) return;
        await saveTrainingState(folder.state, snapshot, training.moments.optimizer, {
          ...run.record,
          standing: now,
        });
        before = performance.now();
      },
      interrupted: () => anyRank(world, interrupt.wanted),
      ...listener.enough && { enough: () => listener.enough!() },
    }, reached);
    const { peak } = memory(model.backend);
    resetPeak();
    if (profiler !== undefined) shown.say(profiler.show());
    if (outcome !== "interrupted" && world.rank === 0) {
      await writeResult(run, training, end);
      folder.finish({ keepCheckpoint: flags.keepCheckpoint === true });
    }
    return {
      outcome,
      steps: training.step,
      totalSteps: training.totalSteps,
      trainable: sizes.trainable,
      base: sizes.base,
      firstLoss,
      lastLoss,
      evaluations,
      best: end.seen.best,
      ...training.lossScale && { lossScale: training.lossScale },
      seconds: (performance.now() - started) / 1000,
      tokens,
      peak,
    };
  } finally {
    isOver = true;
    shown.stop();
    training.dispose();
    run.started.dispose();
  }
}
