/** Methods side by side obey the laws of methods, and those of a sum of effects. */
import assert from "node:assert/strict";
import { adapt, at, compose, graft, key, layers, type Method, scaled } from "../../../core/mod.ts";
import {
  fullFineTune,
  houlsby,
  ia3,
  lora,
  oft,
  parallel,
  pfeiffer,
  prefixTuning,
} from "../../../methods/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertClose } from "../../support/assert.ts";
import { logitsOf } from "../../support/law_numbers.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { onTiny } from "../../support/on_tiny.ts";
import { tinyLlama } from "../../support/tiny_models.ts";

const beside = (methods: Readonly<Record<string, Method>>): Method => parallel(methods) as unknown as Method;
const inSeries = (methods: Readonly<Record<string, Method>>): Method => compose(methods) as unknown as Method;
const WIDE = houlsby({ reduction: 3, activation: "tanh", deviation: 0.1 });
/** Outputs alone: y ⊙ (l + l − 1) is y ⊙ (1 + 2 (l − 1)). */
const VALUES = ia3({
  targets: (place) => place.kind === "linear" && ["key", "value", "qkv"].includes(place.role),
  feedForward: [],
});
const SMOOTH = pfeiffer({ reduction: 4, activation: "gelu" });

methodLaws("parallel() of adapters at one place, LoRA, (IA)³, a rotation and a prefix", {
  method: () => ({
    method: beside({
      a: WIDE,
      b: SMOOTH,
      low: lora({ rank: 1, dropout: 0.2 }),
      scales: ia3(),
      turned: oft({ blocks: { size: 4 } }),
      prefix: prefixTuning({ length: 2, network: "none" }),
    }),
  }),
  atInit: "other",
  merges: "no",
  counts: () => ({}),
});
methodLaws("parallel() of LoRAs", {
  method: () => ({ method: beside({ a: lora({ rank: 1, alpha: 3 }), b: lora({ rank: 2 }) }) }),
  atInit: "base",
  merges: "and unmerges",
  counts: () => ({}),
});

Deno.test("parallel() does not mind order or brackets, where compose() does", () =>
  onTiny({ a: WIDE, b: SMOOTH, c: ia3() }, async (run, { a, b, c }) => {
    const all = { a: WIDE, b: SMOOTH, c: ia3() };
    const flat = await run(beside(all), { a: a!, b: b!, c: c! });
    const turned = beside({ c: ia3(), b: SMOOTH, a: WIDE });
    assertClose(await run(turned, { c: c!, b: b!, a: a! }), flat, 1e-5, "order");
    const left = beside({ ab: beside({ a: WIDE, b: SMOOTH }), c: ia3() });
    assertClose(await run(left, { ab: { a: a!, b: b! }, c: c! }), flat, 1e-5, "brackets");
    const right = beside({ a: WIDE, bc: beside({ b: SMOOTH, c: ia3() }) });
    assertClose(await run(right, { a: a!, bc: { b: b!, c: c! } }), flat, 1e-5, "brackets");
    const series = await run(inSeries(all), { a: a!, b: b!, c: c! });
    assert.ok(
      series.some((x, i) => Math.abs(x - flat[i]!) > 1e-4),
      "the later of two adapters sees the other",
    );
  }));

Deno.test("parallel() of one method, of methods at places of their own and of LoRAs is compose()", () =>
  onTiny({ a: WIDE, b: lora({ rank: 2 }) }, async (run, { a, b }) => {
    const both = { a: WIDE, b: lora({ rank: 2 }) };
    assertClose(await run(beside({ a: WIDE }), { a: a! }), await run(WIDE, a!), 0, "one");
    const series = await run(inSeries(both), { a: a!, b: b! });
    assertClose(await run(beside(both), { a: a!, b: b! }), series, 0, "apart");
    const twice = { x: lora({ rank: 2 }), y: lora({ rank: 2 }) };
    const composed = await run(inSeries(twice), { x: b!, y: b! });
    assertClose(await run(beside(twice), { x: b!, y: b! }), composed, 0, "LoRAs");
  }));

Deno.test("parallel() of an adapter with itself adds its effect twice: scaled by 2", () =>
  onTiny({ a: WIDE, b: VALUES }, async (run, { a, b }) => {
    for (const [method, own] of [[WIDE, a!], [VALUES, b!]] as const) {
      const doubled = await run(scaled(method, 2), own);
      assertClose(
        await run(beside({ x: method, y: method }), { x: own, y: own }),
        doubled,
        1e-5,
        method.name,
      );
    }
  }));

Deno.test("parallel() refuses two owners of a weight, and narrowed ones stand beside each other", async () => {
  const model = tinyLlama(reference(), key(1));
  const two = beside({ a: fullFineTune(), b: fullFineTune() });
  assert.throws(
    () => two.edits(adapt(model, two).params, model.spec),
    /"a" and "b" side by side at ".*": each would put its own weight there/,
  );
  const apart = beside({ a: at(layers(0, 1), WIDE), b: at(layers(1, 2), WIDE) });
  const series = inSeries({ a: at(layers(0, 1), WIDE), b: at(layers(1, 2), WIDE) });
  const { params } = adapt(model, apart);
  const batch = { inputIds: [[3, 1, 4]] };
  const [one, other] = [
    await logitsOf(graft(model, { method: apart, params }), batch),
    await logitsOf(graft(model, { method: series, params }), batch),
  ];
  assertClose(one, other, 0, "no place in common");
  model.dispose();
});
