/** road(): the laws of methods, golden cases of PEFT (tests/oracles/peft_updates.py) and what is refused. */
import { scaled } from "../../../core/mod.ts";
import { road } from "../../../methods/mod.ts";
import { misfits } from "../../support/bad_options.ts";
import { goldenMethods } from "../../support/golden_case.ts";
import { TARGETS } from "../../support/golden_method.ts";
import { ALL, each, laws, TABLE } from "../../support/linear_laws.ts";

laws("road()", road(ALL), each(ALL, (_, o) => o));
laws("road() of two numbers per row", road({ variant: 2 }), each({}, (_, o) => 2 * o));
laws("road() of four, on the embedding", road({ ...TABLE, variant: 4 }), each(TABLE, (_, o) => 4 * o));
laws(
  "road() in groups, random",
  road({ variant: 4, group: 4, initialization: "none" }),
  each({}, (_, o) => 4 * o),
  {
    atInit: "other",
  },
);

laws("road() half of the way", scaled(road({ variant: 2 }), 0.5), each({}, (_, o) => 2 * o), {
  merges: "only",
});

goldenMethods({
  road: road({ group: 4, targets: TARGETS }),
  road_2: road({ variant: 2, targets: TARGETS }),
  road_4: road({ variant: 4, group: 6, targets: TARGETS }),
});

misfits("road()", [
  [() => road({ variant: 3 as 4 }), /option "variant" to be 1, 2 or 4 but found 3/],
  [() => road({ group: 3 }), /option "group" to be a positive even integer of at most 1048576 but found 3/],
  [() => road({ group: 64 }), /groups of 64 on ".*q_proj": its output of 16 is no multiple/],
]);
