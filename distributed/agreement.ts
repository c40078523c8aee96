/** Whether all ranks of a run would compute the same: what determines the numbers is compared before the first step. */
import { createHash } from "node:crypto";
import { cpus } from "node:os";
import { type Backend, bytesOf, dispose, key, scope, type Synchronous, type Tensor } from "../core/mod.ts";
import { rangeError } from "../errors/error.ts";
import { exp, matmul, normal, sum } from "../ops/mod.ts";
import { gatherJson, type World } from "../train/world.ts";

/** What a rank computes from and with, each as a text that must be the same everywhere. */
export type Circumstances = Readonly<Record<string, string>>;

/**
 * The first difference between ranks.
 *
 * @throws {RangeError} on every rank when one of them has something else than rank 0, which the message names.
 */
export async function agree(world: World, own: Circumstances): Promise<void> {
  const all = await gatherJson(world, own);
  const [first = {}] = all;
  for (const [rank, other] of all.entries()) {
    const name = Object.keys({ ...first, ...other }).find((name) => first[name] !== other[name]);
    if (name !== undefined) {
      throw rangeError(
        "PROCESSES_DIFFER",
        `Cannot train together: ${name} of process ${rank} is ${other[name] ?? "missing"}, and ${
          first[name] ?? "missing"
        } of process 0`,
      );
    }
  }
}

/**
 * How this machine rounds: for native kernels, which differ by the CPU, its name as well.
 *
 * A probe of sums and an exponential, long enough that another order of sums or fused products would change it.
 */
export async function rounding(backend: Backend): Promise<Circumstances> {
  const probe = scope((): Synchronous<Tensor> => {
    const [a, b] = [normal(key(1), [67, 301], backend, 0.1), normal(key(2), [301, 59], backend, 0.1)];
    const product = matmul(a, b);
    return sum(exp(product), { axis: 0 });
  });
  const bytes = await bytesOf(probe);
  dispose(probe);
  const circumstances = { "the rounding": createHash("sha256").update(bytes).digest("hex").slice(0, 12) };
  return backend.name === "native"
    ? { ...circumstances, "the processor": cpus()[0]?.model ?? "unknown" }
    : circumstances;
}
