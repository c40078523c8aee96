/** What UniPELT's gates say: their values by part and layer, measured in a pass of its own. */
import {
  type Adapter,
  type Batch,
  forward,
  type Gate,
  graft,
  keep,
  leaves,
  type Method,
  type Model,
  read,
  type Root,
  scope,
  type Storage,
  type Tensor,
  type Tree,
} from "../core/mod.ts";
import { add, mean, sigmoid, zeros } from "../ops/mod.ts";
import { COLOURS, endLabels, picture, Plot } from "./plot.ts";
import type { Shown } from "./shown.ts";

/** A gate's mean value over the texts of a batch. */
export interface Reading {
  /** "prefix", "LoRA on q_proj", "adapter". */
  readonly part: string;
  readonly layer: number;
  readonly value: number;
  /** Training steps before it was taken. */
  readonly step: number;
}

/** A gate that does not look: σ(b), one number a place, the same for every text [b, 1, 1]. What each part is worth, whatever the text. */
export function constantGate(): Gate {
  return {
    name: "constantGate",
    config: {},
    init: (_, __, backend) => ({ bias: zeros([1, 1, 1], backend) }),
    value: (params, x) =>
      add(
        zeros([x.shape.length === 2 ? 1 : x.shape[0]!, 1, 1], x.backend),
        sigmoid(params["bias"] as Tensor),
      ),
  };
}

/** A gate whose values are told to `see` as they are computed. */
export function watched(gate: Gate, see: (params: Tree, value: Tensor) => void): Gate {
  return {
    ...gate,
    value: (params, x) => {
      const value = gate.value(params, x);
      see(params, value);
      return value;
    },
  };
}

/**
 * Runs a batch and reads every gate of an adapter.
 *
 * @param make The adapter's method, with a gate in place of its own.
 */
export async function readGates(
  model: Model,
  { params }: Adapter,
  make: (gate: Gate) => Method,
  gate: Gate,
  batch: Batch,
  step: number,
): Promise<readonly Reading[]> {
  const pathOf = new Map<Storage, string>(leaves(params).map(([path, leaf]) => [leaf.storage, path]));
  const seen: (readonly [path: string, mean: Root<Tensor>])[] = [];
  const method = make(watched(gate, (own, value) => {
    seen.push([pathOf.get((own["bias"] as Tensor).storage)!, keep(mean(value))]);
  }));
  scope((): undefined => {
    forward(graft(model, { method, params }), batch);
  });
  const readings: Reading[] = [];
  for (const [path, root] of seen) {
    const [value] = await read(root.tree);
    readings.push({ ...placeOf(path), value: value!, step });
    root.dispose();
  }
  return readings;
}

/** "lora.gates.model.layers.3.self_attn.q_proj.linear.bias" → LoRA on q_proj, layer 3. */
function placeOf(path: string): Pick<Reading, "part" | "layer"> {
  const [, part, layer, , module] = path.match(/^(\w+)\.gates\..*?\.(\d+)\.(\w+)\.(\w+)/) ?? [];
  return { part: part === "lora" ? `LoRA on ${module}` : part ?? path, layer: Number(layer) };
}

/** Gates over steps, a panel a part and a line a layer, named at its end. */
export function gatesOverSteps(readings: readonly Reading[]): Shown {
  const rows = readings.map((r) => ({ ...r, series: `${r.part} ${r.layer}` }));
  const layers = [...new Set(rows.map(({ layer }) => layer))];
  const line = { x: "step", y: "value", fx: "part" } as const;
  return picture("The gates of each part by layer while training", {
    width: 860,
    height: 300,
    marginRight: 24,
    marginBottom: 40,
    grid: true,
    fx: { label: null },
    x: { label: "step", labelAnchor: "center", ticks: 4, inset: 4 },
    y: { label: "gate", labelAnchor: "center", nice: true },
    color: { domain: layers, range: COLOURS.slice(0, layers.length) },
    marks: [
      Plot.frame({ stroke: "#ddd" }),
      Plot.line(rows, { ...line, z: "series", stroke: "layer", strokeWidth: 2 }),
      endLabels(rows, {
        ...line,
        z: "series",
        text: ({ layer }: { layer: number }) => String(layer),
        fill: "layer",
      }),
    ],
  });
}

/** Gates before and after: an arrow a part and layer. */
export function gatesByLayer(readings: readonly Reading[]): Shown {
  const last = Math.max(...readings.map(({ step }) => step));
  const ends = readings.filter(({ step }) => step === last).map((after) => ({
    ...after,
    from: readings.find((r) => r.step === 0 && r.part === after.part && r.layer === after.layer)!.value,
  }));
  const place = { x: "layer", fx: "part" } as const;
  return picture("The gates of each part by layer, from the start of training to its end", {
    width: 860,
    height: 260,
    marginBottom: 40,
    grid: true,
    fx: { label: null },
    x: {
      label: "layer",
      ticks: [...new Set(ends.map(({ layer }) => layer))],
      tickFormat: "d",
      inset: 12,
      labelAnchor: "center",
    },
    y: { label: "gate: start → end", labelAnchor: "center", nice: true },
    marks: [
      Plot.frame({ stroke: "#ddd" }),
      Plot.ruleX(ends, { ...place, y1: "from", y2: "value", stroke: "#999" }),
      Plot.dot(ends, { ...place, y: "from", r: 3, stroke: "#999", fill: "white" }),
      Plot.dot(ends, { ...place, y: "value", r: 4, fill: COLOURS[0]! }),
    ],
  });
}
