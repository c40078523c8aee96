/** A config's rotary settings under names that every version of transformers reads. */
import { isObject } from "./strict_json.ts";
import type { JsonObject } from "./tensor_file.ts";
import { typeError } from "../errors/error.ts";

/**
 * transformers 5 writes `rope_parameters`, which include the base, where earlier versions have `rope_theta`
 * and `rope_scaling`; it reads both.
 *
 * @throws {TypeError} when the parameters are not a plain object, or one per kind of layer.
 */
export function withRopeScaling(config: JsonObject): JsonObject {
  const { rope_parameters: given, ...rest } = config;
  if (given === undefined || given === null) return config;
  if (!isObject(given) || Object.values(given).some(isObject)) {
    throw typeError(
      "FILE_INVALID",
      `Cannot read rope_parameters ${JSON.stringify(given)}: expected one object of numbers`,
    );
  }
  const { rope_theta, ...scaling } = given;
  const plain = (scaling["rope_type"] ?? scaling["type"] ?? "default") === "default";
  return {
    ...rest,
    ...rope_theta !== undefined && { rope_theta },
    rope_scaling: plain ? null : scaling,
  };
}
