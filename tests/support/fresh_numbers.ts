/** The distributions of fresh parameters, on a model of width 96. */
import assert from "node:assert/strict";
import { dispose, leaves, type Method, type Model, read } from "../../core/mod.ts";
import { assertNoLeak } from "./assert.ts";
import { withBackend } from "./backends.ts";
import { tinyLlama } from "./tiny_models.ts";

/** What a test of fresh parameters works with. */
export interface FreshNumbers {
  readonly model: Model;
  /** The numbers of a fresh adapter's leaves whose paths match. */
  numbers(method: Method, path: RegExp): Promise<readonly number[]>;
}

/** Registers a test. */
export function freshNumbers(title: string, test: (fresh: FreshNumbers) => Promise<void>): void {
  Deno.test(`${title} has fresh parameters of its paper's distributions`, () =>
    withBackend("wasm", (backend) =>
      assertNoLeak(async () => {
        const model = tinyLlama(backend, 20, { width: 96, layers: 1 });
        await test({
          model,
          numbers: async (method, path) => {
            const params = method.init({ model, key: 5 });
            const found: number[] = [];
            for (const [name, t] of leaves(params)) if (path.test(name)) found.push(...await read(t));
            dispose(params);
            return found;
          },
        });
        model.dispose();
      })));
}

/** The largest magnitude. */
export const largestOf = (x: readonly number[]): number => Math.max(...x.map(Math.abs));

/** The root mean square. */
export const deviationOf = (x: readonly number[]): number =>
  Math.sqrt(x.reduce((n, v) => n + v * v, 0) / x.length);

/** Within 15 %. */
export const assertNear = (found: number, wanted: number): void =>
  assert.ok(Math.abs(found / wanted - 1) < 0.15, `expected about ${wanted} but found ${found}`);
