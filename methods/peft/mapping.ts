/** PEFT folders of methods whose form there is a matter of names: of tensors below a layer's path, and of config fields. */
import type { Json, MatrixPlace, MethodDefinition, PeftMapping } from "../../core/mod.ts";
import { filled } from "../../core/options/mod.ts";
import type { AnyPeftCodec, PeftFields, PeftTensor } from "./codec.ts";
import { wrong } from "./codec.ts";
import { LAYER_FIELDS } from "./layers.ts";
import { rangeError } from "../../errors/error.ts";

type Options = Readonly<Record<string, unknown>>;

/** Whether a definition has such a mapping. */
export const hasMapping = (
  definition: MethodDefinition,
): definition is MethodDefinition & { readonly peft: PeftMapping } => definition.peft !== undefined;

/** The codec of a definition with such a mapping. */
export function codecOf(definition: MethodDefinition & { readonly peft: PeftMapping }): AnyPeftCodec {
  const { peft, options: known } = definition;
  const { type, others = {}, refused = {} } = peft;
  const fields = Object.entries(peft.fields).map(([name, to]) => ({
    name,
    ...typeof to === "string" ? { field: to, values: [] } : to,
  }));
  const theirs = (value: unknown, values: readonly (readonly [Json, Json])[]): Json =>
    (values.find(([ours]) => ours === value)?.[1] ?? value) as Json;
  const defaults = Object.fromEntries(
    fields.map(({ name, field, values }) => [field, theirs(known[name]!.default ?? null, values)]),
  );
  return {
    type,
    fields: { ...LAYER_FIELDS, ...others, ...defaults },
    refused,
    read: (found: PeftFields): Options =>
      Object.fromEntries(
        fields.flatMap(({ name, field, values }) => {
          const value = found[field]!;
          const pair = values.find(([, theirs]) => alike(theirs, value));
          if (values.length > 0 && pair === undefined) {
            wrong(field, values.map(([, theirs]) => JSON.stringify(theirs)).join(" or "), value);
          }
          if (value === null && known[name]!.default === undefined) return [];
          const own = pair === undefined ? value : pair[0];
          if (!known[name]!.accepts(own)) wrong(field, known[name]!.what, value);
          return [[name, own] as const];
        }),
      ),
    write: (options: Options): PeftFields => {
      const own = filled(options, known);
      checkPatterns(definition.name, own, peft);
      return Object.fromEntries(
        fields.map(({ name, field, values }) => [field, theirs(own[name] ?? null, values)]),
      );
    },
    method: Object.assign((options: Options) => definition.create!(options), { definition }),
    tensors: (places: readonly MatrixPlace[], options: Options): readonly PeftTensor[] =>
      places.flatMap((place) => {
        const shapes = definition.shapes!(place, filled(options, known));
        return Object.entries(peft.tensors).map(([leaf, name]): PeftTensor => {
          const key = typeof name === "string"
            ? name
            : place.kind === "embedding"
            ? name.embedding
            : name.layer;
          return { path: `${place.path}.${leaf}`, key: `${place.path}.${key}`, shape: shapes[leaf]! };
        });
      }),
  };
}

/** Equal, or the same word in another case, as PEFT reads its enumerations. */
const alike = (a: Json, b: Json): boolean =>
  a === b || (typeof a === "string" && typeof b === "string" && a.toLowerCase() === b.toLowerCase());

/** @throws {RangeError} when layers differ in an option of which PEFT has one for all. */
function checkPatterns(method: string, options: Options, { fields }: PeftMapping): void {
  for (const [name, value] of Object.entries(options)) {
    if (!name.endsWith("Pattern") || name in fields || value === undefined) continue;
    const one = name.slice(0, -"Pattern".length);
    const other = Object.entries(value as Options).find(([, own]) => own !== options[one]);
    if (other === undefined) continue;
    throw rangeError(
      "INVALID_ARGUMENT",
      `PEFT gives all layers of ${method} one ${one}: "${other[0]}" of ${name} has ${
        other[1]
      } and the others have ${options[one]}`,
    );
  }
}
