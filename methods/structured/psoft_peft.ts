/** PSOFT in PEFT folders: there are none that could be read, for a folder lacks the singular vectors. */
import type { PeftForm } from "../peft/form.ts";
import { psoftDefinition } from "./psoft.ts";
import { rangeError, typeError } from "../../errors/error.ts";

/** Folders of `peft_type` "PSOFT". */
export const psoftPeft: PeftForm = {
  types: ["PSOFT"],
  methods: [psoftDefinition],
  refused: true,
  read: () => {
    throw rangeError(
      "ADAPTER_UNSUPPORTED",
      "Cannot load a PEFT adapter of type PSOFT: what it turns are singular vectors, whose signs LAPACK chose where it was trained " +
        "and its folder does not hold; merge it in PEFT there, and load the model",
    );
  },
  write: () => {
    throw typeError(
      "CANNOT_SAVE",
      'Cannot save "psoft" as a PEFT folder: PEFT finds its subspaces anew, with signs of its own; take our form, or toLora',
    );
  },
};
