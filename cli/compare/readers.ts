/** Readers of the options of `graft compare` that are about several methods. */
import type { JsonOptions } from "../../core/options/mod.ts";
import { isObject } from "../../formats/strict_json.ts";
import { InvalidArgumentError, names, number } from "../terminal/arguments.ts";

/** Names, each an argument or between commas. */
export function listed(text: string, earlier: readonly string[] = []): readonly string[] {
  return [...earlier, ...names(text)];
}

/** "lora=1e-3,ia3=0.1". */
export function rates(text: string): Readonly<Record<string, number>> {
  return Object.fromEntries(
    names(text).map((part) => {
      const [name, rate, ...rest] = part.split("=") as [string, string?, ...string[]];
      if (rate === undefined || rest.length > 0) {
        throw new InvalidArgumentError(`Expected rates such as lora=1e-3,ia3=0.1 but found "${part}"`);
      }
      return [name, number({ above: 0 })(rate)];
    }),
  );
}

/** Options by method, as JSON. */
export function optionsByMethod(text: string): Readonly<Record<string, JsonOptions>> {
  try {
    const value: unknown = JSON.parse(text);
    if (isObject(value) && Object.values(value).every(isObject)) return value as Record<string, JsonOptions>;
  } catch {
    // Reported below.
  }
  throw new InvalidArgumentError(`Expected an object such as '{"lora": {"alpha": 8}}' but found "${text}"`);
}
