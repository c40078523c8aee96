/**
 * Converts an `adapter_config.json` to the parts of an adapter: methods with options, in terms of a model's
 * places.
 */
import type { Model } from "../../core/mod.ts";
import { otherVersion, type PeftConfig } from "../../formats/peft_config.ts";
import type { StoredTensor } from "../../formats/tensor_file.ts";
import { CODECS, FORMS } from "../../methods/index.ts";
import type { AnyPeftCodec } from "../../methods/peft/codec.ts";
import type { HeldAdapters, HeldFolders, PeftForm } from "../../methods/peft/form.ts";
import { partOfConfig } from "../../methods/peft/layer_part.ts";
import { ROWS } from "../../methods/peft_beside.ts";
import { withExtras } from "./extras.ts";
import type { FolderParts } from "./folder_parts.ts";
import { rangeError } from "../../errors/error.ts";

/** A config as PEFT computes with it, where that is known by the folder's tensors alone. */
export function asStored(config: PeftConfig, tensors: Iterable<StoredTensor>): PeftConfig {
  const codec = codecFor(config);
  if (codec?.asStored === undefined) return config;
  const shapes = new Map([...tensors].map(({ name, shape }) => [name, shape]));
  return { ...config, fields: codec.asStored(config.fields, shapes) };
}

/**
 * The parts that a config describes.
 *
 * @param held The adapters that its method holds.
 * @throws {RangeError} when the method or a feature is not supported, or a name or pattern matches nothing.
 */
export function partsOfConfig(config: PeftConfig, model: Model, held: HeldAdapters = {}): FolderParts {
  if (config.type === ROWS.type) return { tokens: ROWS.alone(config, model.spec) };
  const [codec, form] = [codecFor(config), formFor(config)];
  const part = form?.read(config, model, held) ?? (codec && partOfConfig(codec, config, model));
  if (part !== undefined) return withExtras(part.main, part.fields, model);
  const known = [
    ...CODECS.map(({ type }) => type),
    ...FORMS.filter(({ refused }) => !refused).flatMap(({ types }) => types),
    ROWS.type,
  ];
  throw rangeError(
    "ADAPTER_UNSUPPORTED",
    `Cannot load a PEFT adapter of type ${config.type}: known are ${[...new Set(known)].sort().join(", ")}${
      otherVersion(config.fields)
    }`,
  );
}

/** How a config's method names the folders of adapters that it holds, where it does. */
export const heldFolders = (config: PeftConfig): HeldFolders | undefined => formFor(config)?.held;

/** The codec of a config. */
function codecFor({ type, fields }: PeftConfig): AnyPeftCodec | undefined {
  return CODECS.find((codec) => codec.type === type && (codec.accepts?.(fields) ?? true));
}

/** The form of a config. */
function formFor({ type }: Pick<PeftConfig, "type">): PeftForm | undefined {
  return FORMS.find(({ types }) => types.includes(type));
}
