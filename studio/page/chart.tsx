/** @jsxImportSource preact */
/** The loss as it falls: a line for the steps, points for what is held out, and axes with numbers. */
import { extent, mean, ticks } from "d3-array";
import type { JSX } from "preact";
import type { RunEntry } from "../protocol.ts";

const [WIDTH, HEIGHT] = [640, 260];
const SPACE = { left: 44, right: 12, top: 12, bottom: 34 };

/** The curve of a run. */
export function LossChart(
  { entries, totalSteps }: { readonly entries: readonly RunEntry[]; readonly totalSteps: number },
): JSX.Element {
  const steps = entries.filter(hasLoss);
  const held = entries.filter(hasHeldOut);
  const all = [...steps.map(({ loss }) => loss), ...held.map(({ evalLoss }) => evalLoss)];
  const [least = 0, most = 1] = all.length === 0 ? [0, 1] : extent(all) as [number, number];
  const room = Math.max(0.05, (most - least) * 0.08);
  const [low, high] = [Math.max(0, least - room), most + room];
  const last = Math.max(1, totalSteps);
  const x = (step: number): number => SPACE.left + (WIDTH - SPACE.left - SPACE.right) * step / last;
  const y = (loss: number): number =>
    HEIGHT - SPACE.bottom - (HEIGHT - SPACE.top - SPACE.bottom) * (loss - low) / (high - low);
  const line = steps.map(({ step, loss }) => `${x(step).toFixed(1)},${y(loss).toFixed(1)}`).join(" ");
  const smooth = smoothed(steps).map(({ step, loss }) => `${x(step).toFixed(1)},${y(loss).toFixed(1)}`).join(
    " ",
  );
  return (
    <figure class="chart">
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={described(steps, held, totalSteps)}>
        <g class="grid">
          {ticks(low, high, 5).map((loss: number) => (
            <g key={`y${loss}`}>
              <line x1={SPACE.left} x2={WIDTH - SPACE.right} y1={y(loss)} y2={y(loss)} />
              <text x={SPACE.left - 6} y={y(loss) + 4} text-anchor="end">{loss}</text>
            </g>
          ))}
          {ticks(0, last, Math.min(8, last)).filter(Number.isInteger).map((step: number) => (
            <text key={`x${step}`} x={x(step)} y={HEIGHT - SPACE.bottom + 16} text-anchor="middle">
              {step}
            </text>
          ))}
          <text class="axis" x={(SPACE.left + WIDTH - SPACE.right) / 2} y={HEIGHT - 3} text-anchor="middle">
            step
          </text>
          <text class="axis" x={SPACE.left} y={SPACE.top - 1} dx="4" dy="8">loss</text>
        </g>
        <polyline class="each" points={line} />
        <polyline class="smooth" points={smooth} />
        {held.map(({ step, evalLoss }) => (
          <circle key={step} class="held" cx={x(step)} cy={y(evalLoss)} r="4.5" />
        ))}
      </svg>
      <figcaption>
        <span class="key smooth">trained on</span>
        <span class="key held">held out</span>
      </figcaption>
    </figure>
  );
}

const hasLoss = (entry: RunEntry): entry is RunEntry & { readonly loss: number } =>
  typeof entry.loss === "number";
const hasHeldOut = (entry: RunEntry): entry is RunEntry & { readonly evalLoss: number } =>
  typeof entry.evalLoss === "number";

/** Means over the last few steps. */
function smoothed(
  steps: readonly { readonly step: number; readonly loss: number }[],
): readonly { readonly step: number; readonly loss: number }[] {
  const width = Math.max(1, Math.round(steps.length / 12));
  return steps.map(({ step }, i) => ({
    step,
    loss: mean(
      steps.slice(Math.max(0, i - width + 1), i + 1),
      ({ loss }: { readonly loss: number }) => loss,
    )!,
  }));
}

/** The chart in a sentence. */
function described(
  steps: readonly { readonly loss: number }[],
  held: readonly { readonly evalLoss: number }[],
  totalSteps: number,
): string {
  const [first, last] = [steps[0], steps.at(-1)];
  if (first === undefined || last === undefined) {
    return `The loss by step, of which there will be ${totalSteps}`;
  }
  const [before, after] = [held[0], held.at(-1)];
  return `The loss went from ${first.loss.toFixed(3)} to ${
    last.loss.toFixed(3)
  } in ${steps.length} of ${totalSteps} steps` +
    (before === undefined || after === undefined
      ? ""
      : `; on held-out rows from ${before.evalLoss.toFixed(3)} to ${after.evalLoss.toFixed(3)}`);
}
