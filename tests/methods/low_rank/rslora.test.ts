/** rslora: golden cases. */
import { rslora } from "../../../methods/mod.ts";
import { GOLDEN_LORA, loraByAnotherName } from "../../support/prepared_life.ts";

loraByAnotherName("rslora", "rslora", rslora(GOLDEN_LORA), rslora({ rank: 2 }));
