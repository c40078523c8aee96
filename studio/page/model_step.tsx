/** @jsxImportSource preact */
/** The first step: which model. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { DropZone } from "./drop_zone.tsx";
import type { StepProps } from "./step_props.ts";
import { bytes, count, parameters } from "./words.ts";

/** See the module's comment. */
export function ModelStep({ state, actions }: StepProps): JSX.Element {
  const [id, setId] = useState("");
  const { model, surroundings } = state;
  const waits = state.busy !== undefined;
  return (
    <>
      <p class="lead">Choose the model to tune. It stays in this tab, and so does all that you give it.</p>
      <div class="ways">
        <section class="card">
          <h3>The embedded one</h3>
          <p>
            2.2 million parameters that know customers' conversations and nothing else. Small enough to try
            things with: a run takes two minutes.
          </p>
          <button type="button" class="primary" disabled={waits} onClick={() => void actions.useEmbedded()}>
            Use the embedded model
          </button>
        </section>
        <section class="card">
          <h3>A file of yours</h3>
          <DropZone
            label="Drop a .gguf file here, or config.json, tokenizer.json and the .safetensors files together"
            accept=".gguf,.safetensors,.json,.jinja,.txt,.model"
            multiple
            disabled={waits}
            taken={(files) => void actions.useFiles(files)}
          />
        </section>
        <section class="card">
          <h3>One of the hub</h3>
          <form
            onSubmit={(event) => {
              event.preventDefault();
              void actions.useHub(id);
            }}
          >
            <label for="hub-id">Its name on Hugging Face</label>
            <div class="row">
              <input
                id="hub-id"
                type="text"
                autocomplete="off"
                spellcheck={false}
                placeholder="HuggingFaceTB/SmolLM2-135M"
                value={id}
                onInput={(event) => setId(event.currentTarget.value)}
              />
              <button type="submit" disabled={waits || id.trim() === ""}>Fetch</button>
            </div>
            <p class="help">Fetched once and kept in the browser's storage for this page.</p>
          </form>
          {(surroundings?.models.length ?? 0) > 0 && (
            <>
              <h4>Kept from earlier</h4>
              <ul class="kept">
                {surroundings!.models.map((name) => (
                  <li key={name}>
                    <button type="button" disabled={waits} onClick={() => void actions.useKept(name)}>
                      {name}
                    </button>
                  </li>
                ))}
              </ul>
            </>
          )}
        </section>
      </div>
      {model !== undefined && (
        <section class="card chosen" aria-label="The chosen model">
          <h3>{model.name}</h3>
          <dl class="facts">
            <div>
              <dt>Architecture</dt>
              <dd>{model.architecture}</dd>
            </div>
            <div>
              <dt>Parameters</dt>
              <dd>{parameters(model.parameters)}</dd>
            </div>
            <div>
              <dt>Layers × width</dt>
              <dd>{model.layers} × {model.width}</dd>
            </div>
            <div>
              <dt>Weights</dt>
              <dd>{bytes(model.bytes)}</dd>
            </div>
            <div>
              <dt>Context</dt>
              <dd>{count(model.context)} tokens</dd>
            </div>
            <div>
              <dt>A step of LoRA takes</dt>
              <dd>{bytes(model.needs)}</dd>
            </div>
          </dl>
          {model.notes.map((note) => <p class="note" key={note}>{note}</p>)}
          <div class="row end">
            <button type="button" class="primary" onClick={() => actions.go("data")}>
              Go on to the data
            </button>
          </div>
        </section>
      )}
    </>
  );
}
