/** beft(): the laws of methods. */
import type { Counts, Model } from "../../../core/mod.ts";
import { beft } from "../../../methods/mod.ts";
import { methodLaws } from "../../support/method_laws.ts";

/** Every value, or the values' third. */
const values = ({ spec }: Model): Partial<Counts> => ({
  trainable: spec.linears.reduce(
    (n, { role, outFeatures }) => n + (role === "value" ? outFeatures : role === "qkv" ? outFeatures / 3 : 0),
    0,
  ),
});

methodLaws("beft()", {
  method: () => ({ method: beft() }),
  atInit: "base",
  merges: "and unmerges",
  counts: values,
});
