/** `--fields`: the names that a file has for the fields of its shape. */
import { isObject } from "../formats/strict_json.ts";
import type { FieldNames } from "../train/mod.ts";
import { InvalidArgumentError, type Reader, reader } from "./terminal/arguments.ts";

/** "prompt=question,completion=reply". */
export const fieldNames: Reader<FieldNames> = reader(
  (text) => {
    const pairs = text.split(",").map((pair) => pair.split("="));
    if (pairs.some((pair) => pair.length !== 2 || pair.some((name) => name === ""))) {
      throw new InvalidArgumentError(
        `Expected names such as prompt=question,completion=reply but found "${text}"`,
      );
    }
    return Object.fromEntries(pairs);
  },
  { type: ["string", "object"], additionalProperties: { type: "string" } },
  (value) => isObject(value) ? Object.entries(value).map((pair) => pair.join("=")).join(",") : undefined,
);
