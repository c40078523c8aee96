/** Trained prompts as what a method starts from: how many rows a file has, and one to plan with. */
import { adapt, type Adapter, type Model, type Shape, type Spec } from "../../core/mod.ts";
import { promptRows } from "../shared/model_sizes.ts";
import { promptTuning } from "./prompt_tuning.ts";

/**
 * The number of rows of a stored prompt, or of what a stored decoder makes; the paper's 100 where the folder is not on this
 * machine.
 */
export function storedRows(tensors: Readonly<Record<string, Shape>>, { stacks }: Spec): number {
  const { width } = stacks[0]!;
  const shapes = Object.values(tensors);
  if (shapes.length === 0) return 100;
  const rows = shapes.find((shape) => shape.length === 2 && shape[1] === width);
  const outputs = shapes.map((shape) => shape.reduce((a, b) => a * b, 1) / (shape[1] ?? 1));
  return rows?.[0] ?? Math.max(...outputs) / width;
}

/** A prompt as another task would leave it, in shape. */
export function trainedPrompt(model: Model): Adapter {
  return adapt(model, promptTuning({ length: promptRows(model, 100) })) as Adapter;
}
