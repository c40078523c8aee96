/** invertibleAdapter(): the laws of methods, golden cases, training and what is refused. */
import { compose } from "../../../core/mod.ts";
import { invertibleAdapter, pfeiffer } from "../../../methods/mod.ts";
import { adapterHubCase } from "../../support/adapter_hub_case.ts";
import { needsPlaces } from "../../support/bad_options.ts";
import { assertNear, deviationOf, freshNumbers } from "../../support/fresh_numbers.ts";
import { just } from "../../support/law_counts.ts";
import { lowersLoss } from "../../support/lowers_loss.ts";
import { methodLaws } from "../../support/method_laws.ts";

methodLaws("invertibleAdapter()", {
  method: just(invertibleAdapter({ activation: "tanh" })),
  atInit: "other",
  merges: "no",
  counts: () => ({ added: 2 * (6 * 3 + 3 + 3 * 6 + 6), trainable: 2 * (6 * 3 + 3 + 3 * 6 + 6) }),
});

lowersLoss("invertibleAdapter", invertibleAdapter());
freshNumbers(
  "invertibleAdapter()",
  async ({ numbers }) => assertNear(deviationOf(await numbers(invertibleAdapter(), /weight/)), 0.02),
);
needsPlaces("invertibleAdapter()", invertibleAdapter(), /Cannot place invertible-adapter/);
for (const [base, reduction] of [["bert_mask", 5], ["llama", 6]] as const) {
  adapterHubCase(
    "invertible",
    [base],
    compose({ invertible: invertibleAdapter(), adapter: pfeiffer({ reduction }) }),
  );
}
