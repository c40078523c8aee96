/** fullFineTune(), only(): the laws of methods and what is refused. */
import { weightLeaves } from "../../../core/mod.ts";
import { fullFineTune, only, type OnlyOptions } from "../../../methods/mod.ts";
import { badOptions, misfits } from "../../support/bad_options.ts";
import { just, sum } from "../../support/law_counts.ts";
import { methodLaws } from "../../support/method_laws.ts";

methodLaws("fullFineTune()", {
  method: just(fullFineTune()),
  atInit: "base",
  merges: "only",
  counts: (model) => {
    const n = sum(weightLeaves(model.weights).map(([, t]) => t.size));
    return { base: n, added: 0, trainable: n, changed: n, stored: n };
  },
});

methodLaws("only() of a norm and a projection", {
  method: just(only({ parameters: /.*(norm|ln_f)\.weight|.*\.0\..*(o_proj|c_attn)\.weight/ })),
  atInit: "base",
  merges: "only",
  counts: (model) => {
    const n = sum(
      weightLeaves(model.weights)
        .filter(([path]) => /(norm|ln_f)\.weight$|\.0\..*(o_proj|c_attn)\.weight$/.test(path))
        .map(([, t]) => t.size),
    );
    return { added: 0, trainable: n, changed: n };
  },
});

badOptions("only()", [
  [
    () => only({} as OnlyOptions),
    /^only needs its option "parameters": which weights train/,
  ],
  [
    () => only({ parameters: [] }),
    /^Expected only.s option "parameters" to name at least one weight but found/,
  ],
  [
    () => only({ parameters: "norm" as never }),
    /^Expected only.s option "parameters" to be a list of names or/,
  ],
]);
misfits("only()", [
  [
    () => only({ parameters: ["norm.weight", "model.norm.weight"] }),
    /weight once but "norm\.weight" and "model\.norm\.weight" are both "model\.norm\.weight"$/,
  ],
  [
    () => only({ parameters: ["norm.weight", "nrm.bias"] }),
    /^"nrm\.bias" of only matches no weight of the model$/,
  ],
  [() => only({ parameters: /.*bias/ }), /^\/\.\*bias\/ of only matches no weight/],
]);
