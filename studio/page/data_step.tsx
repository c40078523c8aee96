/** @jsxImportSource preact */
/// <reference lib="dom" />
/** The second step: the rows to learn from, as they are trained. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { DropZone } from "./drop_zone.tsx";
import type { StepProps } from "./step_props.ts";
import { count, many } from "./words.ts";

/** A line as it may be pasted. */
const EXAMPLE = JSON.stringify({ prompt: "2 + 2 =", completion: " 4" });

/** See the module's comment. */
export function DataStep({ state, actions }: StepProps): JSX.Element {
  const [pasted, setPasted] = useState("");
  const { data } = state;
  const waits = state.busy !== undefined;
  return (
    <>
      <p class="lead">Give examples of what the model should write: a question or text, and its answer.</p>
      <div class="ways">
        <section class="card">
          <h3>The embedded conversations</h3>
          <p>
            480 conversations with a parcel service, each with its summary. The embedded model has seen none
            of them.
          </p>
          <button
            type="button"
            class="primary"
            disabled={waits}
            onClick={() => void actions.useData("conversations.jsonl", "embedded")}
          >
            Use the conversations
          </button>
        </section>
        <section class="card">
          <h3>A file of yours</h3>
          <DropZone
            label="Drop a file of JSON Lines or JSON here"
            accept=".jsonl,.ndjson,.json,.txt"
            disabled={waits}
            taken={([file]) => file && void actions.useData(file.name, file)}
          />
        </section>
        <section class="card">
          <h3>Pasted</h3>
          <label for="pasted">One JSON object a line</label>
          <textarea
            id="pasted"
            rows={4}
            spellcheck={false}
            placeholder={EXAMPLE}
            value={pasted}
            onInput={(event) => setPasted(event.currentTarget.value)}
          />
          <button
            type="button"
            disabled={waits || pasted.trim() === ""}
            onClick={() => void actions.useData("pasted.jsonl", new Blob([pasted.trim(), "\n"]))}
          >
            Use this
          </button>
        </section>
      </div>
      {data !== undefined && data.bad.length > 0 && (
        <section class="card warning" role="alert">
          <h3>{many(data.bad.length, "line")} cannot be used</h3>
          <ul>
            {data.bad.slice(0, 5).map(({ line, why }) => <li key={line}>Line {line}: {why}</li>)}
            {data.bad.length > 5 && <li>and {data.bad.length - 5} more</li>}
          </ul>
          <button type="button" class="primary" disabled={waits} onClick={() => void actions.leaveOut()}>
            Leave {data.bad.length === 1 ? "it" : "them"} out and use the other {count(data.count)}
          </button>
        </section>
      )}
      {data !== undefined && (
        <section class="card" aria-label="The rows">
          <h3>{data.name.replace(/^data\//, "")}</h3>
          <p>
            {many(data.count, "row")} of {data.shape}, {count(data.tokens)} tokens, of which{" "}
            {count(data.trained)} are <mark>trained</mark>. The longest row has {count(data.longest)}.
          </p>
          <div class="scroll" tabIndex={0} role="region" aria-label="The first rows as they are trained">
            <table>
              <thead>
                <tr>
                  <th scope="col">Line</th>
                  <th scope="col">As it is trained</th>
                  <th scope="col">Tokens</th>
                </tr>
              </thead>
              <tbody>
                {data.rows.map(({ line, parts, tokens }, i) => (
                  <tr key={i}>
                    <td>{line}</td>
                    <td class="text">
                      {parts.map(({ text, trained }, k) =>
                        trained ? <mark key={k}>{text}</mark> : <span key={k}>{text}</span>
                      )}
                    </td>
                    <td>{count(tokens)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
          <div class="row end">
            <button
              type="button"
              class="primary"
              disabled={data.bad.length > 0}
              onClick={() => actions.go("method")}
            >
              Go on to the method
            </button>
          </div>
        </section>
      )}
    </>
  );
}
