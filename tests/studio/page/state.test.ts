/** The page's state, by what happens. */
import assert from "node:assert/strict";
import type { RunSettings } from "../../../studio/protocol.ts";
import {
  type Happening,
  isOpen,
  isRunning,
  next,
  START,
  type State,
  STEPS,
} from "../../../studio/page/state.ts";

const settings: RunSettings = {
  ...{
    model: "embedded",
    data: "data/a.jsonl",
    output: "runs/lora",
    method: "lora",
    options: {},
    training: {},
  },
  backend: "wasm",
  threads: 2,
};

const after = (...happenings: readonly Happening[]): State => happenings.reduce(next, START);
const entry = (step: number): Happening => ({
  kind: "news",
  at: 0,
  news: { kind: "entry", entry: { step, loss: 1 } },
});
const started = (step: number): Happening => ({
  kind: "news",
  at: 5,
  news: { kind: "started", step, totalSteps: 9, trainable: 4 },
});
const ended = (outcome: "finished" | "interrupted"): Happening => ({
  kind: "ended",
  end: { outcome, step: 3, totalSteps: 9, seconds: 1 },
});
const begun = (resumed: boolean): Happening => ({ kind: "begun", settings, resumed });

Deno.test("a run that is resumed does the steps after its checkpoint again", () => {
  const state = after(begun(false), started(0), entry(1), entry(2), entry(3), ended("interrupted"));
  assert.equal(state.run?.state, "paused");
  const again = [begun(true), started(2), entry(3)].reduce(next, state);
  assert.deepEqual(again.run?.entries.map(({ step }) => step), [1, 2, 3]);
  assert.deepEqual(again.run?.since, { step: 2, at: 5 });
});

Deno.test("a new run begins without the last one's points, and what it came to is told", () => {
  const state = after(begun(false), started(0), entry(1), ended("finished"), begun(false));
  assert.deepEqual(state.run?.entries, []);
  assert.equal(state.run?.state, "starting");
  assert.ok(isRunning(state));
});

Deno.test("what is set to undefined is gone, and a failure ends what was being done", () => {
  const state = after({ kind: "set", with: { busy: "Reading" } }, {
    kind: "failed",
    step: "model",
    text: "no",
  });
  assert.ok(!("busy" in state));
  assert.deepEqual(state.problem, { step: "model", text: "no" });
  assert.ok(!("problem" in next(state, { kind: "set", with: { problem: undefined } })));
});

Deno.test("options that are taken back are not given", () => {
  const set: Happening = { kind: "option", name: "rank", value: 4 };
  assert.deepEqual(after(set).options, { rank: 4 });
  assert.deepEqual(after(set, { ...set, value: undefined }).options, {});
});

Deno.test("at first a person can choose a model, and compare when a run is done", () => {
  const open = (state: State): readonly string[] => STEPS.filter((step) => isOpen(state, step));
  assert.deepEqual(open(START), ["model"]);
  assert.deepEqual(open(after(begun(false), ended("interrupted"))), ["model", "train"]);
  assert.deepEqual(open(after(begun(false), ended("finished"))), ["model", "train", "compare", "carry"]);
});
