/** centralGate() starts as its paper says; its laws are UniPELT's with a central gate. */
import { centralGate, houlsby, pfeiffer } from "../../../methods/mod.ts";
import { assertNear, deviationOf, freshNumbers } from "../../support/fresh_numbers.ts";

freshNumbers("centralGate()", async ({ numbers }) =>
  assertNear(
    deviationOf(await numbers(centralGate({ a: pfeiffer(), b: houlsby() }), /^gates\..*weight/)),
    0.02,
  ));
