/** A backend that computes, and counts its calls by kernel and shapes. */
import type { Backend, Operand } from "../../tensor/backend.ts";
import { KERNEL_NAMES } from "../../ops/recording.ts";

/** A backend with the calls since it was last reset. */
export interface CallCounter {
  readonly backend: Backend;
  /** "matmul [2,3] [3,4] [2,4]" → how often. */
  calls(): ReadonlyMap<string, number>;
  reset(): void;
}

/** Counts the calls of a backend. */
export function callCounter(inner: Backend): CallCounter {
  let counts = new Map<string, number>();
  const sizesOf = (value: unknown): readonly string[] =>
    Array.isArray(value)
      ? value.flatMap((one) => typeof one === "object" ? sizesOf(one) : [])
      : typeof value === "object" && value !== null && "raw" in value
      ? [`[${(value as Operand).shape.join(",")}]`]
      : [];
  const counted = Object.fromEntries(
    KERNEL_NAMES.filter((name) => inner[name] !== undefined).map((name) => [name, (...args: unknown[]) => {
      const key = `${name} ${args.flatMap(sizesOf).join(" ")}`;
      counts.set(key, (counts.get(key) ?? 0) + 1);
      return (inner[name] as (...args: unknown[]) => void).apply(inner, args);
    }]),
  );
  return { backend: { ...inner, ...counted }, calls: () => counts, reset: () => counts = new Map() };
}
