/** Options that a method refuses by name, as rows of a table. */
import assert from "node:assert/strict";
import { adapt, type Method, type Model } from "../../core/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { assertNoLeak } from "./assert.ts";
import { tinyLlama } from "./tiny_models.ts";

/** Options, and the RangeError that they are to cause: its whole message, or a pattern of it. */
export type Refused<T> = readonly (readonly [make: () => T, message: string | RegExp])[];

/** Registers a test: making the method throws, before any model is seen. */
export function badOptions(title: string, rows: Refused<unknown>): void {
  Deno.test(`${title} refuses options out of range before it sees a model`, () => {
    for (const [make, message] of rows) assert.throws(make, refusal(message), `${make}`);
  });
}

/** Registers a test: the method is refused by itself or for a model, by default a Llama of width 12 with queries of [16, 12]. */
export function misfits(
  title: string,
  rows: Refused<Method>,
  { model: of = () => tinyLlama(reference(), 1) }: { model?(): Model } = {},
): void {
  Deno.test(`${title} refuses what a model cannot have, by option and layer`, () =>
    assertNoLeak(() => {
      const model = of();
      for (const [make, message] of rows) {
        assert.throws(() => adapt(model, make()), refusal(message), `${make}`);
      }
      model.dispose();
    }));
}

/** Registers a test: a model that offers no place at all is refused. */
export function needsPlaces(title: string, method: Method, message: RegExp): void {
  Deno.test(`${title} refuses a model without its places`, () => {
    const places = { linears: [], attentions: [], sublayers: [], blocks: [], norms: [], embeddings: [] };
    const model = { spec: { architecture: "none", ...places, heads: [], stacks: [] } } as unknown as Model;
    assert.throws(() => method.init({ model, key: 0 }), refusal(message));
  });
}

const refusal = (message: string | RegExp) => (error: unknown): boolean =>
  error instanceof RangeError &&
  (typeof message === "string" ? error.message === message : message.test(error.message));
