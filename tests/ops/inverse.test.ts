/** Inverses and their gradients equal torch's. */
import { read, scope, type Tensor, valueAndGrad } from "../../core/mod.ts";
import { inverse, sumOfSquares } from "../../ops/mod.ts";
import { assertClose, assertNoLeak } from "../support/assert.ts";
import { ALL_BACKENDS, withBackend } from "../support/backends.ts";
import { goldenTensors } from "../support/golden.ts";

for (const backendName of ALL_BACKENDS) {
  Deno.test(`inverse() and its gradient equal torch's (${backendName})`, () =>
    withBackend(backendName, (backend) =>
      assertNoLeak(async () => {
        const stored = goldenTensors("reparam/inverse.safetensors", backend);
        const t = (name: string): Tensor => stored.get(name)!;
        const y = scope(() => inverse(t("x")));
        assertClose(await read(y), await read(t("y")), 1e-5);
        const { value, gradients } = valueAndGrad(({ x }: { x: Tensor }) => sumOfSquares(inverse(x)))({
          x: t("x"),
        });
        const { x } = gradients as { x: Tensor };
        assertClose(await read(x), await read(t("grad")), 1e-4);
        for (const u of [y, value, x, ...stored.values()]) u.storage.free();
      })));
}
