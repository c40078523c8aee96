/** When a run saves, evaluates, keeps and stops: on a run that is only a counter. */
import assert from "node:assert/strict";
import type { Tree } from "../../core/mod.ts";
import {
  Interruption,
  RUN_START,
  type RunProgress,
  supervise,
  type Supervision,
} from "../../recipes/supervised.ts";
import type { Moments, Training } from "../../train/mod.ts";

interface Story {
  readonly events: readonly string[];
  readonly saved: readonly { readonly step: number; readonly standing: RunProgress }[];
  readonly outcome: string;
}

/** Runs a counter whose held-out loss at a step is given, from a saved place, interrupted where it is said. */
async function story(
  total: number,
  options: Supervision,
  lossAt: (step: number) => number,
  given: {
    readonly from?: { readonly step: number; readonly standing: RunProgress };
    readonly interruptAfter?: number;
    readonly interruptEvaluation?: number;
  } = {},
): Promise<Story> {
  let step = given.from?.step ?? 0;
  const events: string[] = [];
  const saved: { step: number; standing: RunProgress }[] = [];
  const run: Training<Tree> = {
    get step() {
      return step;
    },
    totalSteps: total,
    moments: {} as Moments,
    lossScale: undefined,
    adapter: () => assert.fail(),
    next: () => {
      step++;
      return Promise.resolve({ step, epoch: 0, loss: 1, tokens: 1, learningRate: 1, gradientNorm: 1 });
    },
    snapshot: () => ({ step, params: {}, slots: (async function* () {})() }),
    dispose: () => {},
  };
  const { outcome } = await supervise(run, options, {
    stepped: (report) => void events.push(`step ${report.step}`),
    evaluate: (step) => {
      if (step === given.interruptEvaluation) return Promise.reject(new Interruption());
      return Promise.resolve({ loss: lossAt(step) });
    },
    evaluated: (step) => void events.push(`evaluated ${step}`),
    keepBest: (step) => Promise.resolve(void events.push(`best ${step}`)),
    save: (snapshot, standing) => {
      events.push(`saved ${snapshot.step}`);
      saved.push({ step: snapshot.step, standing });
      return Promise.resolve();
    },
    interrupted: () => step === given.interruptAfter,
  }, given.from?.standing ?? RUN_START);
  return { events, saved, outcome };
}

Deno.test("supervise() evaluates before, between and after, saves the best first and the state after", async () => {
  const { events, outcome } = await story(5, { saveEvery: 2, evaluateEvery: 3 }, (step) => -step);
  assert.equal(outcome, "finished");
  assert.deepEqual(events, [
    ...["best 0", "evaluated 0", "step 1", "step 2", "saved 2", "step 3", "best 3", "evaluated 3"],
    ...["step 4", "saved 4", "step 5", "best 5", "evaluated 5", "saved 5"],
  ]);
});

Deno.test("supervise() stops early and says which step was best", async () => {
  const losses = [9, 5, 6, 7, 8, 1];
  const { saved, outcome } = await story(
    5,
    { saveEvery: 10, evaluateEvery: 1, stopping: { patience: 2 } },
    (step) => losses[step]!,
  );
  assert.equal(outcome, "stopped early");
  assert.equal(saved.at(-1)!.step, 3);
  assert.deepEqual(saved.at(-1)!.standing.seen.best, { step: 1, value: 5 });
});

Deno.test("supervise() saves what an interruption leaves, and what follows is what would have been", async () => {
  const options = { saveEvery: 3, evaluateEvery: 2 };
  const loss = (step: number): number => Math.abs(step - 4);
  const whole = await story(7, options, loss);
  for (let cut = 0; cut < 7; cut++) {
    for (const how of ["interruptAfter", "interruptEvaluation"] as const) {
      const first = await story(7, options, loss, { [how]: cut });
      if (how === "interruptEvaluation" && cut % 2 === 1) {
        assert.equal(first.outcome, "finished");
        continue;
      }
      assert.equal(first.outcome, "interrupted");
      assert.equal(first.saved.at(-1)!.step, cut);
      const second = await story(7, options, loss, { from: first.saved.at(-1)! });
      const work = (events: readonly string[]) => events.filter((event) => !event.startsWith("saved"));
      assert.deepEqual(work([...first.events, ...second.events]), work(whole.events), `${how} ${cut}`);
      assert.deepEqual(second.saved.at(-1)!.standing, whole.saved.at(-1)!.standing);
    }
  }
});

Deno.test("supervise() lets errors of an evaluation through", async () => {
  await assert.rejects(
    story(3, { saveEvery: 1, evaluateEvery: 1 }, () => {
      throw new RangeError("broken");
    }),
    /broken/,
  );
});
