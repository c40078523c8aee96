/** Every method of the table on the embedded model for a few steps: what its numbers bought. */
import { count, dispose, graft } from "../core/mod.ts";
import { showBytes, showCount } from "../cli/terminal/output.ts";
import { knownMethods } from "../io/records/known_methods.ts";
import { publishedMethods } from "../tuning/published.ts";
import { shortRateOf } from "../tuning/short_rate.ts";
import type { TableRow } from "../cli/methods/costs.ts";
import { heldOutLoss } from "../train/mod.ts";
import { bar, live } from "./live.ts";
import { picture, Plot } from "./plot.ts";
import { type Shown, stacked } from "./shown.ts";
import { sortable } from "./table.ts";
import { tune } from "./tune.ts";
import type { Workshop } from "./workshop.ts";

/** How a method did in a few steps. */
export interface Trial {
  readonly name: string;
  /** Trainable share of the model's numbers. */
  readonly share: number;
  /** On held-out rows, after. */
  readonly loss: number;
  readonly rate: number;
}

/** Trains each method for so many steps and takes its loss, live. The first trial is the model as it was. */
export async function trials(
  shop: Workshop,
  names: readonly string[],
  { steps, batchSize }: { readonly steps: number; readonly batchSize: number },
): Promise<readonly Trial[]> {
  const measure = { batchSize: 12, pad: shop.pad };
  const { loss: untrained } = await heldOutLoss(shop.model, shop.heldOut, measure);
  const done: Trial[] = [];
  const view = (caption: string): Shown =>
    stacked(bar(done.length, names.length, caption), trialPlot(done, untrained));
  const output = await live(view(""));
  for (const name of names) {
    await output.update(view(name));
    const entry = publishedMethods().find((one) => one.definition === knownMethods().get(name))!;
    const method = entry.make(shop.model);
    const rate = shortRateOf(entry.definition);
    const run = await tune(shop, method, { steps, rate, batchSize });
    const { trainable, base } = count(shop.model, run.adapter);
    const { loss } = await heldOutLoss(graft(shop.model, run.adapter), shop.heldOut, measure);
    dispose(run.adapter.params);
    done.push({ name, share: trainable / base, loss, rate });
  }
  await output.update(view("done"));
  return done;
}

/** Loss against trainable share, each point named. */
function trialPlot(trials: readonly Trial[], untrained: number): Shown {
  return picture(`Held-out loss of ${trials.length} methods against their trainable share`, {
    height: 420,
    width: 860,
    marginRight: 110,
    marginBottom: 40,
    grid: true,
    x: {
      label: "trainable share of the model",
      labelAnchor: "center",
      type: "log",
      domain: [1e-4, 1],
      tickFormat: (x: number) => `${100 * x} %`,
      ticks: 4,
    },
    y: { label: "held-out loss", domain: [Math.min(3, ...trials.map(({ loss }) => loss)), untrained + 0.1] },
    marks: [
      Plot.ruleY([untrained], { stroke: "#d55e00", strokeDasharray: "4 3" }),
      Plot.text(["untrained"], { frameAnchor: "top-right", dx: -4, dy: 22, fill: "#d55e00" }),
      Plot.dot(trials, { x: "share", y: "loss", r: 4, fill: "#0072b2" }),
      Plot.text(trials, { x: "share", y: "loss", text: "name", textAnchor: "start", dx: 7, fontSize: 10 }),
    ],
  });
}

/** The facts of every method that the model takes, as a table that sorts, and under it those that it does not take. */
export function factsTable(rows: readonly TableRow[], losses: readonly Trial[] = []): Shown {
  const placed = rows.filter((row): row is Extract<TableRow, { facts: unknown }> => "facts" in row);
  const refused = rows.filter((row): row is Extract<TableRow, { refused: string }> => "refused" in row);
  const lossOf = new Map(losses.map(({ name, loss }) => [name, loss]));
  type Row = typeof placed[number];
  const share = ({ facts }: Row): number => facts.trained.trainable / facts.trained.base;
  const table = sortable(placed, [
    { title: "method", text: ({ name }) => name },
    { title: "setting", text: ({ setting }) => setting },
    { title: "kind", text: ({ facts }) => facts.kinds.join("") },
    {
      title: "trainable",
      text: ({ facts }) => showCount(facts.trained.trainable),
      value: ({ facts }) => facts.trained.trainable,
    },
    {
      title: "share",
      text: (row) =>
        `${share(row) < 0.1 ? (100 * share(row)).toPrecision(2) : (100 * share(row)).toFixed(0)} %`,
      value: share,
    },
    { title: "folder", text: ({ facts }) => showBytes(facts.storage), value: ({ facts }) => facts.storage },
    {
      title: "Adam state",
      text: ({ facts }) => showBytes(facts.optimizer),
      value: ({ facts }) => facts.optimizer,
    },
    {
      title: "gradient through",
      text: ({ facts: { backward } }) => `${backward.reached} of ${backward.layers} layers`,
      value: ({ facts: { backward } }) => backward.reached,
    },
    {
      title: "later cost",
      text: ({ facts }) =>
        facts.merges
          ? "none: merges"
          : `+${(100 * facts.multiplyAdds.extra / facts.multiplyAdds.base).toFixed(1)} %`,
      value: ({ facts }) => facts.merges ? 0 : facts.multiplyAdds.extra,
    },
    ...lossOf.size === 0 ? [] : [{
      title: "loss after a few steps",
      text: ({ name }: Row) => lossOf.get(name)?.toFixed(2) ?? "–",
      value: ({ name }: Row) => lossOf.get(name) ?? Infinity,
    }],
  ]);
  if (refused.length === 0) return table;
  return stacked(
    table,
    sortable(refused, [{ title: "not on this model", text: ({ name }) => name }, {
      title: "why",
      text: ({ refused }) => refused,
    }]),
  );
}
