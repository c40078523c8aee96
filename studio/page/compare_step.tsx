/** @jsxImportSource preact */
/** The fifth step: the same prompt, before and after. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { StepProps } from "./step_props.ts";

/** See the module's comment. */
export function CompareStep({ state, actions }: StepProps): JSX.Element {
  const prompts = state.data?.prompts ?? [];
  const [prompt, setPrompt] = useState(prompts[0] ?? "");
  const [scale, setScale] = useState(1);
  const [tokens, setTokens] = useState(64);
  const { words, busy } = state;
  const waits = busy !== undefined;
  return (
    <>
      <p class="lead">
        Ask the model as it was, and as it is now. At 0 the adapter does nothing, at 1 all that it has
        learned.
      </p>
      <form
        class="ask"
        onSubmit={(event) => {
          event.preventDefault();
          void actions.compare(prompt, scale, tokens);
        }}
      >
        {prompts.length > 0 && (
          <div class="field">
            <label for="example">A prompt of the data</label>
            <select
              id="example"
              onChange={(event) => setPrompt(prompts[Number(event.currentTarget.value)] ?? "")}
            >
              {prompts.map((text, i) => (
                <option key={i} value={i}>{text.replace(/\s+/g, " ").slice(0, 70)}</option>
              ))}
            </select>
          </div>
        )}
        <div class="field">
          <label for="prompt">Prompt</label>
          <textarea
            id="prompt"
            rows={6}
            value={prompt}
            onInput={(event) => setPrompt(event.currentTarget.value)}
          />
        </div>
        <div class="row">
          <div class="field slider">
            <label for="scale">
              The adapter's scale: <output for="scale">{scale.toFixed(2)}</output>
            </label>
            <input
              id="scale"
              type="range"
              min="0"
              max="1"
              step="0.05"
              value={scale}
              onInput={(event) => setScale(Number(event.currentTarget.value))}
              onChange={() => void (words.after !== "" && !waits && actions.compare(prompt, scale, tokens))}
            />
          </div>
          <div class="field">
            <label for="tokens">At most so many tokens</label>
            <input
              id="tokens"
              type="number"
              min="1"
              max="512"
              value={tokens}
              onChange={(event) => setTokens(Math.max(1, Number(event.currentTarget.value) || 64))}
            />
          </div>
          <button type="submit" class="primary" disabled={waits || prompt.trim() === ""}>Write both</button>
        </div>
      </form>
      <div class="columns" aria-live="polite">
        <section class="card" aria-label="Before">
          <h3>Before</h3>
          <p class="said">
            {words.before || <span class="quiet">What the model writes without the adapter</span>}
          </p>
        </section>
        <section class="card" aria-label="After">
          <h3>After</h3>
          <p class="said">{words.after || <span class="quiet">What it writes with the adapter</span>}</p>
        </section>
      </div>
      <div class="row end">
        <button type="button" onClick={() => actions.go("carry")}>Go on to the files</button>
      </div>
    </>
  );
}
