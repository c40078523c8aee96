/** The first and last tokens of a prompt, for edits that apply only there. */
import { type HiddenCall, type Tensor, tensor } from "../../core/mod.ts";
import {
  add,
  lessEqual,
  matmul,
  multiply,
  ones,
  place,
  reshape,
  slice,
  subtract,
  sum,
} from "../../ops/mod.ts";

/**
 * Each [b, t, 1]: 1 at these positions, else 0. t includes the rows of soft prompts, which belong to neither
 * end.
 */
export interface Ends {
  readonly first: Tensor;
  readonly last: Tensor;
}

/**
 * The first p and last s of a text's n tokens, at most n / 2 of either, or up to all of them: then a token
 * near both ends is one of the last. Padding and generated tokens do not count. undefined when a text is
 * being continued, since such a pass has no prompt tokens.
 */
export function firstAndLastTokens(
  call: HiddenCall,
  p: number,
  s: number,
  atMost: "half" | "text" = "half",
): Ends | undefined {
  if (call.phase === "decode") return undefined;
  const { ids, mask, given, y } = call;
  const [b, t] = ids.shape as [number, number];
  const shown = mask === undefined
    ? ones([b, t], y.backend)
    : slice(mask, 1, mask.shape[1]! - t, mask.shape[1]!); // without prompts
  const read = given === undefined ? shown : multiply(shown, given); // [b, t]
  const n = sum(read, { axis: 1, keepAxes: true }); // [b, 1]
  const index = tensor(Array.from({ length: t }, (_, i) => i), { backend: y.backend });
  const upTo = lessEqual(reshape(index, [t, 1]), reshape(index, [1, t])); // [t, t]
  const fromLeft = matmul(read, upTo); // [b, t], 1 at the first token
  const fromRight = add(subtract(n, fromLeft), 1); // 1 at the last
  const half = multiply(n, 0.5);
  const near = (rank: Tensor, count: number): Tensor =>
    atMost === "text" ? lessEqual(rank, count) : multiply(lessEqual(rank, count), lessEqual(rank, half)); // integers, so ⌊n / 2⌋
  const among = (near: Tensor): Tensor =>
    place(reshape(multiply(read, near), [b, t, 1]), 1, y.shape[1]! - t, y.shape[1]!);
  const last = near(fromRight, s);
  const first = near(fromLeft, p);
  return {
    first: among(atMost === "text" ? multiply(first, subtract(1, last)) : first),
    last: among(last),
  };
}
