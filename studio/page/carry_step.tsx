/** @jsxImportSource preact */
/// <reference lib="dom" />
/** The last step: files for other programs. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { CarriedFile, Parcel } from "../protocol.ts";
import type { StepProps } from "./step_props.ts";
import { bytes } from "./words.ts";

const PARCELS: readonly { readonly parcel: Parcel; readonly title: string; readonly help: string }[] = [
  {
    parcel: "peft",
    title: "The adapter for PEFT",
    help: "A folder as a .zip: PeftModel.from_pretrained and graft read it.",
  },
  {
    parcel: "gguf",
    title: "The adapter for llama.cpp",
    help: "A .gguf file for llama-cli --lora; what is no LoRA becomes one.",
  },
  {
    parcel: "merged",
    title: "The model with it",
    help: "A Hugging Face folder as a .zip, with the adapter in its weights.",
  },
  {
    parcel: "merged-gguf",
    title: "The model with it, as GGUF",
    help: "One .gguf file, for llama.cpp and Ollama.",
  },
];

/** See the module's comment. */
export function CarryStep({ state, actions }: StepProps): JSX.Element {
  const [got, setGot] = useState<Readonly<Record<string, CarriedFile>>>({});
  const waits = state.busy !== undefined;
  const take = async (parcel: Parcel): Promise<void> => {
    const file = await actions.carry(parcel);
    if (file === undefined) return;
    setGot((before) => ({ ...before, [parcel]: file }));
    save(file);
  };
  return (
    <>
      <p class="lead">Take what was learned with you. Nothing of it is anywhere else.</p>
      <ul class="parcels">
        {PARCELS.map(({ parcel, title, help }) => (
          <li class="card" key={parcel}>
            <h3>{title}</h3>
            <p>{help}</p>
            <button
              type="button"
              class={parcel === "peft" ? "primary" : ""}
              disabled={waits}
              data-parcel={parcel}
              onClick={() => void take(parcel)}
            >
              Download
            </button>
            {got[parcel] !== undefined && (
              <div role="status">
                <p class="quiet">{got[parcel].name}, {bytes(got[parcel].blob.size)}</p>
                {got[parcel].said !== "" && <p class="quiet">{got[parcel].said}</p>}
                <pre class="command" tabIndex={0}>{got[parcel].command}</pre>
              </div>
            )}
          </li>
        ))}
      </ul>
      <div class="row end">
        <button type="button" onClick={() => void actions.forget()}>Forget this run and begin anew</button>
      </div>
    </>
  );
}

/** Saves a file as the browser saves downloads. */
function save({ name, blob }: CarriedFile): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
