/** Methods as the command line names them, each with the defaults that suit it. */
import type { Method, Targets } from "../core/mod.ts";
import { dora, fullFineTune, ia3, lora, type LoraOptions, rslora } from "../methods/mod.ts";
import { UsageError } from "./arguments.ts";

/** The methods of `graft finetune`. */
export const METHODS = ["lora", "rslora", "dora", "qlora", "ia3", "full"] as const;

/** One of them. */
export type MethodName = typeof METHODS[number];

/** Options that shape a method; absent ones get the method's defaults. */
export interface MethodFlags {
  readonly method: MethodName;
  readonly rank?: number;
  readonly alpha?: number;
  readonly dropout?: number;
  readonly targets?: readonly string[];
}

/** The learning rate when none is given. Methods that move few numbers move them far. */
export function defaultRate(method: MethodName): number {
  switch (method) {
    case "lora":
    case "rslora":
    case "dora":
    case "qlora":
      return 5e-4;
    case "ia3":
      return 5e-3;
    case "full":
      return 2e-5;
    default:
      return method satisfies never;
  }
}

/** The optimizer when none is given: one whose state does not crowd compute memory where every weight trains. */
export function defaultOptimizer(method: MethodName): "adamw" | "paged" {
  return method === "full" || method === "qlora" ? "paged" : "adamw";
}

/**
 * The method that flags describe.
 *
 * @throws {UsageError} when an option does not belong to the method.
 */
export function methodOf(flags: MethodFlags): Method {
  const { method, rank = 8, dropout = 0, targets } = flags;
  switch (method) {
    case "lora":
    case "rslora":
    case "dora":
    case "qlora":
      return lowRankMethod(method, {
        rank,
        alpha: flags.alpha ?? 2 * rank,
        dropout,
        targets: targetsOf(targets) ?? "all-linear",
      });
    case "ia3": {
      refuse(flags, ["rank", "alpha", "dropout"]);
      const chosen = targetsOf(targets);
      return ia3(chosen === undefined ? {} : { targets: chosen });
    }
    case "full":
      refuse(flags, ["rank", "alpha", "dropout", "targets"]);
      return fullFineTune();
    default:
      return method satisfies never;
  }
}

function lowRankMethod(method: "lora" | "rslora" | "dora" | "qlora", options: LoraOptions): Method {
  switch (method) {
    case "lora":
    case "qlora":
      return lora(options);
    case "rslora":
      return rslora(options);
    case "dora":
      return dora(options);
    default:
      return method satisfies never;
  }
}

/** "all-linear", or names of layers. */
function targetsOf(targets: readonly string[] | undefined): Targets | undefined {
  return targets?.length === 1 && targets[0] === "all-linear" ? "all-linear" : targets;
}

function refuse(flags: MethodFlags, names: readonly (keyof MethodFlags)[]): void {
  for (const name of names) {
    if (flags[name] !== undefined) {
      throw new UsageError(`Cannot use --${name} with --method ${flags.method}: it has none`);
    }
  }
}
