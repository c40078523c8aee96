/** The contest of the first notebook: methods trained alike, measured before and after, side by side. */
import { count, dispose, graft, type Method, type Model, quantize, weightBytes } from "../core/mod.ts";
import { showBytes, showCount } from "../cli/terminal/output.ts";
import type { Tokenizer } from "../formats/tokenizer.ts";
import { heldOutLoss, pickRows, type Sample, samplesOf, scoresOf } from "../train/mod.ts";
import { type Curve, liveCurves } from "./curves.ts";
import { escaped, type Shown, shown } from "./shown.ts";
import { sortable } from "./table.ts";
import { tune } from "./tune.ts";
import type { Workshop } from "./workshop.ts";

/** A method that takes part. */
export interface Entrant {
  readonly name: string;
  readonly method: Method;
  /** Peak learning rate. */
  readonly rate: number;
  /** How the frozen model is stored while it trains; default as it was loaded. */
  readonly stored?: "nf4_double";
}

/** How the contest is run. */
export interface ContestOptions {
  readonly steps: number;
  /** Summaries to write and score, before and after. */
  readonly written: number;
}

/** Quality of a model on what it was not trained on. */
export interface Quality {
  readonly loss: number;
  /** Mean F1. */
  readonly rougeL: number;
  readonly samples: readonly Sample[];
}

/** What came of one method. */
export interface Outcome extends Curve {
  readonly trainable: number;
  readonly base: number;
  /** Bytes of the frozen model. */
  readonly weights: number;
  /** Most bytes that lived at once while training, the frozen model included. */
  readonly peak: number;
  readonly seconds: number;
  readonly before: Quality;
  readonly after: Quality;
}

/** Trains every entrant on the same rows in the same order. */
export async function contest(
  shop: Workshop,
  entrants: readonly Entrant[],
  { steps, written }: ContestOptions,
): Promise<readonly Outcome[]> {
  const shownCurves = await liveCurves(entrants.length, steps);
  const outcomes: Outcome[] = [];
  for (const { name, method, rate, stored } of entrants) {
    const model = stored === undefined ? shop.model : quantize(shop.model, { dtype: stored });
    shownCurves.begin(name);
    const before = await quality(shop, model, written);
    const run = await tune(shop, method, { steps, rate, model, stepped: shownCurves.stepped });
    const after = await quality(shop, graft(model, run.adapter), written);
    const { trainable, base } = count(model, run.adapter);
    outcomes.push({
      ...{ name, points: run.points, trainable, base, weights: weightBytes(model) },
      ...{ peak: weightBytes(model) + run.peak, seconds: run.seconds, before, after },
    });
    dispose(run.adapter.params);
    if (model !== shop.model) model.dispose();
  }
  return outcomes;
}

async function quality(shop: Workshop, model: Model<Tokenizer>, written: number): Promise<Quality> {
  const { loss } = await heldOutLoss(model, shop.heldOut, { batchSize: 12, pad: shop.pad });
  const numbers = Array.from({ length: Math.min(written, shop.heldOut.count) }, (_, n) => n);
  const samples = await samplesOf(
    model,
    pickRows(shop.heldOut, numbers),
    numbers.map((n) => shop.text(n).summary),
    { maxNewTokens: 48, batchSize: 12 },
  );
  return { loss, rougeL: scoresOf(samples).rougeL.f1, samples };
}

/** The outcomes as a table that sorts. */
export function outcomeTable(outcomes: readonly Outcome[]): Shown {
  return sortable(outcomes, [
    { title: "method", text: ({ name }) => name },
    { title: "trainable", text: (o) => showCount(o.trainable), value: (o) => o.trainable },
    {
      title: "share",
      text: (o) => `${(100 * o.trainable / o.base).toPrecision(3)} %`,
      value: (o) => o.trainable / o.base,
    },
    { title: "frozen model", text: (o) => showBytes(o.weights), value: (o) => o.weights },
    { title: "peak memory", text: (o) => showBytes(o.peak), value: (o) => o.peak },
    { title: "training", text: (o) => `${o.seconds.toFixed(0)} s`, value: (o) => o.seconds },
    {
      title: "held-out loss",
      text: (o) => `${o.before.loss.toFixed(2)} → ${o.after.loss.toFixed(2)}`,
      value: (o) => o.after.loss,
    },
    {
      title: "ROUGE-L",
      text: (o) => `${o.before.rougeL.toFixed(3)} → ${o.after.rougeL.toFixed(3)}`,
      value: (o) => o.after.rougeL,
    },
  ]);
}

/** Summaries of some held-out conversations: wanted, untrained, and by each method. */
export function samplesView(shop: Workshop, outcomes: readonly Outcome[], numbers: readonly number[]): Shown {
  const lines = (n: number): readonly (readonly [string, string])[] => [
    ["wanted", shop.text(n).summary],
    ["untrained", outcomes[0]!.before.samples[n]!.written],
    ...outcomes.map(({ name, after }) => [name, after.samples[n]!.written] as const),
  ];
  const oneLine = (text: string): string => text.replace(/\s+/g, " ").slice(0, 300);
  const html = numbers.map((n) =>
    `<details><summary>conversation ${n + 1}</summary><pre style="white-space:pre-wrap">${
      escaped(shop.text(n).dialogue)
    }</pre></details><table>${
      lines(n).map(([who, text]) =>
        `<tr><th style="text-align:left">${escaped(who)}</th><td style="text-align:left">${
          escaped(oneLine(text))
        }</td></tr>`
      ).join("")
    }</table>`
  );
  return shown({
    "text/html": html.join("\n"),
    "text/plain": numbers.map((n) => lines(n).map(([who, text]) => `${who}: ${oneLine(text)}`).join("\n"))
      .join("\n\n"),
  });
}
