/**
 * Tests of the files that a version of our own form left behind: adapters, and checkpoints of runs. Every later version opens
 * them and computes the same, to the bit on the reference backend. A failure is a broken promise to whoever has such files:
 * mend the code that reads them, and leave the files and their expected values alone.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  type Batch,
  bytesOf,
  count,
  dispose,
  forward,
  graft,
  leaves,
  type Model,
  read,
  scope,
  type Synchronous,
  type Tensor,
  type Tree,
} from "../../core/mod.ts";
import { loadAdapter, loadModel, modelOfAdapter, openTrainingState } from "../../io/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { rowsFrom, startTraining, type Training, type TrainOptions } from "../../train/mod.ts";
import { finetuned } from "../cli/in_process.ts";
import { assertNoLeak } from "./assert.ts";
import { inFolder } from "./folder.ts";
import { GOLDEN, goldenNumbers } from "./golden.ts";

interface FrozenAdapter {
  readonly model: string;
  /** How many parameters it trains. */
  readonly trainable: number;
  /** What the batch has besides the model's, or instead of it. */
  readonly batch?: Partial<Batch>;
  /** Of two steps of training, if it trains anything: what the options mean that matter in training alone. */
  readonly losses?: readonly number[];
}

/** A training state of the library's loop, after three of six steps. */
interface FrozenState {
  /** The adapter that the run began from. */
  readonly adapter: string;
  readonly options: TrainOptions;
  readonly rows: Parameters<typeof rowsFrom>[0];
  /** The remaining ones. */
  readonly steps: readonly StepTaken[];
  /** What `hashOf` gives at the end. */
  readonly params: string;
}

interface StepTaken {
  readonly loss: number;
  /** `hashOf` what the method keeps between steps. */
  readonly state: string;
}

/** A run of `graft finetune`, interrupted after three of five steps. */
interface FrozenRun {
  readonly flags: Pick<Parameters<typeof finetuned>[0], "method">;
  /** Of the remaining steps and evaluations. */
  readonly metrics: readonly Measured[];
  readonly params: string;
}

interface Measured {
  readonly step: number;
  readonly loss?: number;
  readonly evalLoss?: number;
}

/** What was computed when the files were written. */
interface Expected {
  readonly batches: Readonly<Record<string, Batch>>;
  readonly labels: Readonly<Record<string, NonNullable<Batch["labels"]>>>;
  /** Of the two steps. */
  readonly training: TrainOptions;
  readonly adapters: Readonly<Record<string, FrozenAdapter>>;
  readonly states: Readonly<Record<string, FrozenState>>;
  readonly runs: Readonly<Record<string, FrozenRun>>;
}

/** Models and data, which every version has in common. */
const BASES = `${GOLDEN}frozen_version_1/bases`;
const LETTERS = `${GOLDEN}frozen_version_1/letters.jsonl`;

async function logitsOf(model: Model, batch: Batch): Promise<Float32Array> {
  const t = scope((): Synchronous<Tensor> => forward(model, batch).logits);
  const numbers = await read(t);
  t.storage.free();
  return numbers as Float32Array;
}

/** Logits are those of then, to the bit. */
function assertFrozen(found: Float32Array, expected: Float32Array | undefined): void {
  assert.ok(expected !== undefined && expected.length === found.length, `${found.length} logits`);
  const furthest = found.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i]!)), 0);
  const same = found.every((value, i) => Object.is(value, expected[i]));
  assert.ok(same, `logits are up to ${furthest} from those of then`);
}

/** The values of all leaves, whatever their names and order are. */
async function hashOf(tree: Tree): Promise<string> {
  const each: string[] = [];
  for (const [, t] of leaves(tree)) each.push(createHash("sha256").update(await bytesOf(t)).digest("hex"));
  return createHash("sha256").update(each.sort().join()).digest("hex");
}

async function stepsOf(run: Training<Tree>): Promise<readonly StepTaken[]> {
  const steps: StepTaken[] = [];
  for (let report = await run.next(); report; report = await run.next()) {
    steps.push({ loss: report.loss, state: await hashOf(run.snapshot().state ?? {}) });
  }
  return steps;
}

/** Rows that give whole batches are not asked for tokens. */
const NONE = { inputIds: [], labels: [] };

/** Where the files of a version are, and how many adapters there must be, so that none gets lost. */
export interface FrozenFiles {
  readonly version: number;
  readonly size: number;
  readonly adapters: string;
  readonly states: string;
  readonly runs: string;
  readonly expected: string;
  /** Below golden/. */
  readonly logits: string;
}

/** Registers the tests of a version's files. */
export function frozenFiles({ version, size, ...files }: FrozenFiles): void {
  const { batches, labels, training, adapters, states, runs }: Expected = JSON.parse(
    Deno.readTextFileSync(files.expected),
  );
  const logits = goldenNumbers(files.logits);
  const shared = goldenNumbers("frozen_version_1/expected.safetensors");

  const namesIn = (folder: string): readonly string[] =>
    [...Deno.readDirSync(folder)].map(({ name }) => name.replace(/\.safetensors$/, "")).sort();

  Deno.test(`the frozen files of version ${version} are those that are listed`, () => {
    const kinds = { adapters, states, runs };
    assert.deepEqual(namesIn(files.adapters), Object.keys(adapters).sort());
    assert.deepEqual(namesIn(files.states), Object.keys(states).sort());
    assert.deepEqual(namesIn(files.runs), Object.keys(runs).sort());
    assert.deepEqual(namesIn(BASES), Object.keys(batches).sort());
    const named = Object.entries(kinds)
      .flatMap(([kind, listed]) => Object.keys(listed).map((name) => `${kind}/${name}`));
    assert.deepEqual([...logits.keys()].filter((name) => !name.startsWith("bases/")).sort(), named.sort());
    assert.equal(Object.keys(adapters).length, size);
  });

  for (const [name, batch] of Object.entries(batches)) {
    Deno.test(`every adapter of version ${version} opens, computes the same and trains as it did: ${name}`, () =>
      assertNoLeak(async () => {
        const base = await loadModel(`${BASES}/${name}`, { backend: reference() });
        assertFrozen(await logitsOf(base, batch), shared.get(`bases/${name}`));
        const faults: string[] = [];
        for (const [folder, adapter] of Object.entries(adapters)) {
          if (adapter.model !== name) continue;
          try {
            await assertOpens(folder, adapter, base, { ...batch, ...adapter.batch, labels: labels[name]! });
          } catch (error) {
            faults.push(`${folder}: ${(error as Error).message}`);
          }
        }
        base.dispose();
        assert.deepEqual(faults, []);
      }));
  }

  async function assertOpens(
    name: string,
    { trainable, losses }: FrozenAdapter,
    base: Model,
    batch: Batch,
  ): Promise<void> {
    const folder = `${files.adapters}/${name}`;
    const model = await modelOfAdapter(folder, base);
    const adapter = await loadAdapter(folder, model);
    try {
      assertFrozen(await logitsOf(graft(model, adapter), batch), logits.get(`adapters/${name}`));
      assert.equal(count(model, adapter).trainable, trainable, "trainable parameters");
      if (losses === undefined) return;
      const row = { count: 1, lengths: [10], targets: [10], tokens: () => NONE, batch: () => batch };
      const run = await startTraining(model, adapter, row, training);
      assert.deepEqual((await stepsOf(run)).map(({ loss }) => loss), losses);
      run.dispose();
    } finally {
      dispose(adapter.params);
    }
  }

  for (const [name, { adapter: start, options, rows, steps, params }] of Object.entries(states)) {
    Deno.test(`a training state of version ${version} takes the steps that remain: ${name}`, () =>
      assertNoLeak(async () => {
        const model = await loadModel(`${BASES}/llama`, { backend: reference() });
        const adapter = await loadAdapter(`${files.adapters}/${start}`, model);
        using saved = openTrainingState(`${files.states}/${name}.safetensors`);
        assert.equal(saved.step, 3);
        assert.deepEqual(saved.record, { note: "frozen" });
        const { step, slots } = saved;
        const resume = {
          step,
          slots,
          params: saved.params(model.backend),
          state: saved.state(model.backend),
        };
        const run = await startTraining(model, adapter, rowsFrom(rows), options, resume);
        assert.deepEqual(await stepsOf(run), steps);
        assertFrozen(
          await logitsOf(graft(model, run.adapter()), batches["llama"]!),
          logits.get(`states/${name}`),
        );
        assert.equal(await hashOf(run.adapter().params), params, "the parameters at the end");
        run.dispose();
        dispose(adapter.params);
        model.dispose();
      }));
  }

  for (const [name, { flags, metrics, params }] of Object.entries(runs)) {
    Deno.test(`graft finetune --resume goes on with a run of version ${version}: ${name}`, () =>
      inFolder(async (folder) => {
        const output = `${folder}/run`;
        copyFolder(`${files.runs}/${name}`, output);
        const [source, data] = [`${BASES}/letters`, LETTERS];
        await finetuned({ ...flags, model: source, data, output, resume: true });
        const measured: readonly Measured[] = Deno.readTextFileSync(`${output}/metrics.jsonl`).trimEnd()
          .split("\n").map((line) => JSON.parse(line));
        assert.deepEqual(
          measured.filter(({ step }) => step > 3).map(({ step, loss, evalLoss }) => ({
            step,
            ...loss !== undefined && { loss },
            ...evalLoss !== undefined && { evalLoss },
          })),
          metrics,
        );
        const model = await loadModel(source, { backend: reference() });
        const adapter = await loadAdapter(output, model);
        assertFrozen(await logitsOf(graft(model, adapter), batches["letters"]!), logits.get(`runs/${name}`));
        assert.equal(await hashOf(adapter.params), params, "the parameters at the end");
        dispose(adapter.params);
        model.dispose();
      }));
  }
}

function copyFolder(source: string, target: string): void {
  Deno.mkdirSync(target, { recursive: true });
  for (const { name, isDirectory } of Deno.readDirSync(source)) {
    if (isDirectory) copyFolder(`${source}/${name}`, `${target}/${name}`);
    else Deno.copyFileSync(`${source}/${name}`, `${target}/${name}`);
  }
}
