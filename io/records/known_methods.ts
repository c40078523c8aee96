/** The methods and gates that a program knows: graft's own, and those that it is handed. */
import type { GateDefinition, MethodDefinition } from "../../core/mod.ts";
import { closest, plainName } from "../../core/options/mod.ts";
import { DEFINITIONS, GATES } from "../../methods/index.ts";
import { rangeError } from "../../errors/error.ts";

/** A method of one's own, as its definition or as the factory that has it, or a gate. */
export type OwnMethod = MethodDefinition | GateDefinition | { readonly definition: MethodDefinition };

/** Definitions by name. */
export interface KnownMethods {
  /** All of them, one's own first. */
  readonly all: readonly MethodDefinition[];
  /** The definition of a name, in any case, with hyphens or without, or of an alias. */
  find(name: string): MethodDefinition | undefined;
  /** The same. @throws {RangeError} when there is none; the message says what may have been meant. */
  get(name: string): MethodDefinition;
  /** A gate's. @throws {RangeError} when there is none. */
  gate(name: string): GateDefinition;
}

/**
 * Graft's methods with one's own before them.
 *
 * @throws {RangeError} when a method of one's own has a name that another has.
 * @example
 * ```ts
 * import { knownMethods } from "@graft/peft/io";
 * import assert from "node:assert/strict";
 * assert.equal(knownMethods().get("prefixTuning").name, "prefix-tuning");
 * assert.throws(() => knownMethods().get("lorra"), /did you mean "lora"/);
 * ```
 */
export function knownMethods(own: readonly OwnMethod[] = []): KnownMethods {
  const mine = own.map((one) => "definition" in one ? one.definition : one);
  const all = [...mine.filter((one) => "options" in one), ...DEFINITIONS];
  const gates = [...mine.filter((one) => "gate" in one), ...GATES];
  const byName = new Map<string, MethodDefinition>();
  for (const definition of all) {
    const key = plainName(definition.name);
    const other = byName.get(key);
    if (other !== undefined && other !== definition) {
      throw rangeError(
        "FILE_INVALID",
        `Expected methods of different names but found "${definition.name}" twice`,
      );
    }
    byName.set(key, definition);
  }
  for (const definition of all) {
    for (const alias of definition.aliases ?? []) {
      if (!byName.has(plainName(alias))) byName.set(plainName(alias), definition);
    }
  }
  const find = (name: string): MethodDefinition | undefined => byName.get(plainName(name));
  return {
    all,
    find,
    get: (name) => {
      const found = find(name);
      if (found !== undefined) return found;
      const near = closest(name, all.flatMap((one) => [one.name, ...one.aliases ?? []]));
      throw rangeError(
        "METHOD_UNKNOWN",
        `The method "${name}" is not known${
          near === undefined ? "" : `: did you mean "${find(near)!.name}"?`
        }`,
      );
    },
    gate: (name) => {
      const found = gates.find(({ gate }) => plainName(gate) === plainName(name));
      if (found !== undefined) return found;
      throw rangeError(
        "METHOD_UNKNOWN",
        `The gate "${name}" is not known: known are ${gates.map(({ gate }) => gate).join(", ")}`,
      );
    },
  };
}
