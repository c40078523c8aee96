/** Compositions of methods that fast-check draws obey the laws of methods, whatever stands in what. */
import fc from "fast-check";
import { at, compose, gated, layers, type Method, scaled } from "../../core/mod.ts";
import {
  averaged,
  houlsby,
  ia3,
  loha,
  lora,
  parallel,
  pfeiffer,
  prefixTuning,
  routed,
  sentenceGate,
} from "../../methods/mod.ts";
import { methodLaws } from "../support/method_laws.ts";

/** A method as an expression, with what is known of it from its parts. */
interface Expression {
  readonly text: string;
  readonly method: Method;
  /** Whether a fresh one leaves the model as it is. */
  readonly fromBase: boolean;
  readonly merges: boolean;
  /** Whether it adds to outputs of layers and parts alone, as an expert must. */
  readonly adds: boolean;
  /** Whether a gate reads the whole text. */
  readonly looksAhead: boolean;
}

const leaf = (text: string, method: unknown, known: Partial<Expression> = {}): Expression => ({
  text,
  method: method as Method,
  fromBase: true,
  merges: true,
  adds: true,
  looksAhead: false,
  ...known,
});

const SMALL = leaf("pfeiffer", pfeiffer({ reduction: 4, activation: "gelu" }), {
  fromBase: false,
  merges: false,
});
const WIDE = leaf("houlsby", houlsby({ reduction: 3, activation: "tanh", deviation: 0.1 }), {
  fromBase: false,
  merges: false,
});
const LEAVES: readonly Expression[] = [
  leaf("lora", lora({ rank: 2, alpha: 3, dropout: 0.2 })),
  leaf("wide lora", lora({ rank: 1, targets: "all-linear" })),
  leaf("ia3", ia3()),
  leaf("loha", loha({ rank: 2 })),
  SMALL,
  WIDE,
  leaf("prefix", prefixTuning({ length: 2, network: "none" }), {
    fromBase: false,
    merges: false,
    adds: false,
  }),
];

/** Several in one, with what holds for all of them. */
const joined = (
  name: string,
  parts: readonly Expression[],
  method: (methods: Readonly<Record<string, Method>>) => unknown,
  known: Partial<Expression> = {},
): Expression => ({
  text: `${name}(${parts.map(({ text }) => text).join(", ")})`,
  method: method(Object.fromEntries(parts.map(({ method }, i) => [`p${i}`, method]))) as Method,
  fromBase: parts.every((part) => part.fromBase),
  merges: parts.every((part) => part.merges),
  adds: parts.every((part) => part.adds),
  looksAhead: parts.some((part) => part.looksAhead),
  ...known,
});

const one = (name: string, of: Expression, method: unknown, known: Partial<Expression> = {}): Expression => ({
  ...of,
  text: `${name}(${of.text})`,
  method: method as Method,
  ...known,
});

const expressions = fc.letrec<{ readonly any: Expression; readonly adding: Expression }>((tie) => ({
  any: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    fc.constantFrom(...LEAVES),
    fc.tuple(tie("any"), tie("any")).map((parts) => joined("compose", parts, compose)),
    // With an adapter in it, so that it surely does not merge.
    fc.tuple(tie("any"), fc.constantFrom(SMALL, WIDE)).map((parts) => joined("parallel", parts, parallel)),
    tie("any").map((e) => one("scaled", e, scaled(e.method, 0.6))),
    tie("any").map((e) => one("upper", e, at(layers(1), e.method))),
    tie("any").map((e) =>
      one("gated", e, gated(e.method, sentenceGate()), { merges: false, looksAhead: true })
    ),
    tie("adding"),
  ),
  adding: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    fc.constantFrom(...LEAVES.filter(({ adds }) => adds)),
    // Both have the adapter, so that there are places where they meet.
    // All count: where a token's likeliest changes, the loss jumps, and differences say nothing.
    fc.tuple(tie("adding"), fc.constantFrom(SMALL, WIDE)).map(([e, adapter]) =>
      joined(
        "routed",
        [joined("compose", [e, adapter], compose), adapter],
        (m) => routed(m, { deviation: 0.3 }),
        {
          merges: false,
        },
      )
    ),
    fc.tuple(fc.constantFrom(LEAVES[0]!, SMALL, WIDE), fc.constantFrom(SMALL, WIDE)).map((parts) =>
      joined("averaged", parts, (m) => averaged(m, { weights: [0.3, 0.7] }), { merges: false })
    ),
    fc.tuple(tie("adding"), tie("adding")).map((parts) => joined("compose", parts, compose)),
  ),
}));

const DRAWN = fc.sample(expressions.any.filter(({ text }) => text.includes("(")), 24);
for (const [i, { text, method, fromBase, merges, looksAhead }] of DRAWN.entries()) {
  methodLaws(`${i + 1}. ${text}`, {
    method: () => ({ method }),
    atInit: fromBase ? "base" : "other",
    merges: merges ? "and unmerges" : "no",
    counts: () => ({}),
    looksAhead,
    runs: 1,
  });
}
