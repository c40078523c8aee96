/**
 * The laws that every method obeys, as property tests over keys, models and batches. A method's test file calls
 * `methodLaws` once for each of its forms and adds what is its own: golden values, errors, counts of the paper.
 */
import fc from "fast-check";
import type { Backend, Batch } from "../../core/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { assertClose, assertNoLeak } from "./assert.ts";
import { withBackend } from "./backends.ts";
import { examples } from "./examples.ts";
import { gpuTest } from "./gpu.ts";
import { everyLeafHasAGradient } from "./gradient_law.ts";
import { everything, largest, type Numbers } from "./law_numbers.ts";
import type { MethodExpectations } from "./method_expectations.ts";
import { CONTINUING, LAWS, SETTLING, UNMERGING } from "./laws.ts";
import { type Case, cases, TINY_MODELS, withSubject } from "./subject.ts";

/** Registers a test for each law. */
export function methodLaws(title: string, expected: MethodExpectations): void {
  const { batch: wanted = (batch: Batch): Batch => batch } = expected;
  const drawn = cases(expected.models ?? TINY_MODELS).map((it) => ({ ...it, batch: wanted(it.batch) }));
  const laws = {
    ...LAWS,
    ...expected.merges !== "no" && UNMERGING,
    ...expected.finalizes && SETTLING,
    ...!expected.looksAhead && CONTINUING,
  };
  for (const [name, law] of Object.entries(laws)) {
    Deno.test(`${title}: ${name}`, () => {
      const backend = reference();
      return fc.assert(
        fc.asyncProperty(
          drawn,
          (subject) =>
            assertNoLeak(() => withSubject(subject, backend, expected.method, (s) => law(s, expected))),
        ),
        { numRuns: examples(expected.runs ?? 3) },
      );
    });
  }
  Deno.test(`${title}: every trained leaf has a gradient, or a reason to have none`, () =>
    assertNoLeak(() =>
      everyLeafHasAGradient(expected.method, {
        backend: reference(),
        batch: wanted,
        none: expected.noGradient ?? [],
      })
    ));
  Deno.test(`${title}: reference and wasm agree`, () =>
    withBackend("wasm", (wasm) => agree(drawn, wasm, expected)));
  if (!expected.decomposes) {
    gpuTest(
      `${title}: reference and gpu agree`,
      () => withBackend("gpu", (gpu) => agree(drawn, gpu, expected)),
    );
  }
}

/** Logits, loss and gradients on a backend are those on the reference backend. */
function agree(drawn: fc.Arbitrary<Case>, other: Backend, expected: MethodExpectations): Promise<void> {
  return fc.assert(
    fc.asyncProperty(drawn, async (subject) => {
      const results: Numbers[] = [];
      for (const backend of [reference(), other]) {
        const run = () =>
          withSubject(subject, backend, expected.method, async (s) => {
            results.push(await everything(s));
          });
        await assertNoLeak(run);
      }
      // 1e-3: f32 sums in another order and other exp and cos, through two blocks and back.
      // A leaf whose gradient vanishes is measured against the others: 4e-6 of the largest, 64 roundings of it to f32.
      const [one, two] = results as [Numbers, Numbers];
      const floor = 4e-3 * largest([...one].filter(([what]) => what !== "logits").flatMap(([, x]) => [...x]));
      for (const [what, numbers] of one) {
        assertClose([...two.get(what)!, floor], [...numbers, floor], 1e-3, what);
      }
    }),
    { numRuns: examples(expected.runs ?? 3) },
  );
}
