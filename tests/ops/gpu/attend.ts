/** Compares attention and its derivatives with the reference. */
import type { AttentionOptions, Backend } from "../../../tensor/backend.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { compare } from "./compare.ts";
import { ATTENTION, ATTENTION_GRAD } from "./tolerances.ts";
import { f32, floats, noise, random, type Run, run } from "../kernel_operands.ts";

/** An attention: sizes, options, and which axes of a bias are full. */
export interface Case {
  readonly sizes: readonly [b: number, t: number, s: number, g: number, heads: number, d: number];
  readonly options: AttentionOptions;
  readonly mask: boolean;
  readonly bias: readonly boolean[] | undefined;
}

/** Asserts that the output, the log sums and the derivatives of attention agree. */
export async function attend(gpu: Backend, { sizes, options, mask, bias }: Case): Promise<void> {
  const [b, t, s, g, heads, d] = sizes;
  const h = g * heads;
  const name = `attention ${JSON.stringify({ sizes, mask, bias, options })}`;
  const seen = f32([b, s], noise(b * s, 7).map((x) => x > -0.4 ? 1 : 0));
  const inputs = [
    ...[random([b, t, h, d], 1), random([b, s, g, d], 2), random([b, s, g, d], 3), seen],
    random([b, h, t, s].map((n, i) => bias?.[i] ? n : 1), 4),
  ];
  const outs = [{ shape: [b, t, h, d] }, { shape: [b, h, t] }];
  const forward: Run = (k, [q, key, v, m, e], [out, lse]) =>
    k.attention(q!, key!, v!, mask ? m : undefined, bias ? e : undefined, options, out!, lse!);
  await compare(gpu, name, inputs, outs, ATTENTION, forward);
  const [out, lse] = run(reference(), inputs, outs, forward);
  const more = [
    ...inputs,
    f32([b, t, h, d], floats(out!)),
    f32([b, h, t], floats(lse!)),
    random([b, t, h, d], 5),
  ];
  const grads = [[b, t, h, d], [b, s, g, d], [b, s, g, d], ...bias ? [[b, h, t, s]] : []].map((shape) => ({
    shape,
  }));
  await compare(gpu, `${name}, gradient`, more, grads, ATTENTION_GRAD, (k, x, [dq, dk, dv, dbias]) => {
    const [q, key, v, m, e, y, l, up] = x;
    const hidden = [mask ? m : undefined, bias ? e : undefined] as const;
    k.attentionGrad(q!, key!, v!, ...hidden, options, y!, l!, up!, dq!, dk!, dv!, dbias);
  });
}
