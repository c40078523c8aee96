/** @jsxImportSource preact */
/** The fourth step: the run, as it goes. */
import type { JSX } from "preact";
import { finetuneWords, shellLine } from "../command_line.ts";
import { LossChart } from "./chart.tsx";
import { settingsOf } from "./settings.ts";
import type { Run, State } from "./state.ts";
import type { StepProps } from "./step_props.ts";
import { bytes, capital, count, parameters, time } from "./words.ts";

const SAID: Readonly<Record<Run["state"], string>> = {
  starting: "Loading the model",
  training: "Training",
  pausing: "Pausing after this step",
  ending: "Ending after this step",
  paused: "Paused",
  done: "Done",
  failed: "Stopped by an error",
};

/** See the module's comment. */
export function TrainStep({ state, actions }: StepProps): JSX.Element {
  const { run } = state;
  const begins = run === undefined || run.state === "done" || run.state === "failed";
  return (
    <>
      {run === undefined
        ? (
          <p class="lead">
            Everything is chosen. The run computes in a worker of this tab, which stays usable.
          </p>
        )
        : <RunView run={run} state={state} />}
      <div class="row">
        {begins && <Start state={state} again={run !== undefined} start={() => void actions.start()} />}
        {run?.state === "training" && (
          <>
            <button type="button" onClick={() => void actions.pause()}>Pause</button>
            <button type="button" onClick={() => void actions.stop()}>
              Stop and keep what it has learned
            </button>
          </>
        )}
        {run?.state === "paused" && run.elsewhere === undefined && (
          <>
            <button type="button" class="primary" onClick={() => void actions.goOn()}>Resume</button>
            <button type="button" onClick={() => void actions.stop()}>
              Stop and keep what it has learned
            </button>
            <button type="button" onClick={() => void actions.forget()}>Forget this run</button>
          </>
        )}
        {run?.state === "done" && (
          <button type="button" class="primary" onClick={() => actions.go("compare")}>
            Go on to comparing
          </button>
        )}
      </div>
      <Command state={state} />
      {state.notes.length > 0 && (
        <details>
          <summary>
            What the run says <span class="quiet">{state.notes.length}</span>
          </summary>
          <pre class="log" tabIndex={0}>{state.notes.join("\n")}</pre>
        </details>
      )}
    </>
  );
}

function Start(
  { state, again, start }: { readonly state: State; readonly again: boolean; readonly start: () => void },
): JSX.Element {
  const { plan } = state;
  const fits = plan?.fits !== false;
  return (
    <>
      <button
        type="button"
        class={again ? "" : "primary"}
        disabled={!fits || state.data === undefined || state.busy !== undefined}
        onClick={start}
      >
        {again ? "Train anew" : "Train"}
      </button>
      {!fits && (
        <p class="note" role="alert">
          The run would take {bytes(plan!.total)}, and a tab's memory holds{" "}
          {bytes(2 ** 32)}: choose shorter rows (max length), a smaller batch, or QLoRA.
        </p>
      )}
    </>
  );
}

function RunView({ run, state }: { readonly run: Run; readonly state: State }): JSX.Element {
  const steps = run.entries.filter(({ loss }) => loss !== undefined);
  const held = run.entries.filter(({ evalLoss }) => evalLoss !== undefined);
  const last = steps.at(-1);
  const peak = Math.max(0, ...steps.map(({ memory = 0 }) => memory));
  const { surroundings } = state;
  return (
    <section aria-label="The run">
      <p class="state" role="status">
        <strong>{SAID[run.state]}</strong>
        {last !== undefined && ` · step ${last.step} of ${run.totalSteps}`}
        {run.trainable !== undefined &&
          ` · ${parameters(run.trainable)} parameters by ${run.settings.method}`}
      </p>
      {run.elsewhere && (
        <p class="note" role="alert">
          Another tab is at this run. Go on there, or close it and reload this page.
        </p>
      )}
      {run.problem !== undefined && <p class="problem" role="alert">{run.problem}</p>}
      <progress max={Math.max(1, run.totalSteps)} value={last?.step ?? 0} aria-label="Steps done" />
      <LossChart entries={run.entries} totalSteps={run.totalSteps} />
      <dl class="facts">
        <div>
          <dt>Loss</dt>
          <dd>{last?.loss?.toFixed(3) ?? "–"}</dd>
        </div>
        <div>
          <dt>Held-out loss</dt>
          <dd>{held.at(-1)?.evalLoss?.toFixed(3) ?? "–"}</dd>
        </div>
        <div>
          <dt>Tokens a second</dt>
          <dd>{speedOf(run)}</dd>
        </div>
        <div>
          <dt>Time left</dt>
          <dd>{run.state === "training" ? leftOf(run) : "–"}</dd>
        </div>
        <div>
          <dt>Memory</dt>
          <dd>{peak === 0 ? "–" : bytes(peak)}</dd>
        </div>
        <div>
          <dt>Computes on</dt>
          <dd>
            {run.settings.backend === "gpu"
              ? "the GPU"
              : run.settings.threads === 1
              ? "one thread"
              : `${run.settings.threads} threads`}
          </dd>
        </div>
      </dl>
      {surroundings?.isolated === false && (
        <p class="note">
          This page is not cross-origin isolated, so that its workers cannot share memory: it computes on one
          thread. A host that sends the headers COOP and COEP, as <code>graft studio</code>{" "}
          does, makes it faster.
        </p>
      )}
    </section>
  );
}

/** The mean speed of the last steps. */
function speedOf({ entries }: Run): string {
  const recent = entries.flatMap(({ tokensPerSecond }) =>
    tokensPerSecond === undefined ? [] : [tokensPerSecond]
  ).slice(-8);
  return recent.length === 0 ? "–" : count(recent.reduce((sum, n) => sum + n, 0) / recent.length);
}

function leftOf({ entries, since, totalSteps }: Run): string {
  const step = entries.at(-1)?.step ?? 0;
  if (since === undefined || step <= since.step) return "–";
  return time((performance.now() - since.at) / 1000 / (step - since.step) * (totalSteps - step));
}

/** The same on a machine. */
function Command({ state }: { readonly state: State }): JSX.Element | null {
  const settings = state.run?.settings ?? settingsOf(state, `runs/${state.method}`);
  if (settings === undefined) return null;
  return (
    <details>
      <summary>{capital("the command line that does the same")}</summary>
      <pre class="command" tabIndex={0}>{shellLine(finetuneWords(settings))}</pre>
      <p class="help">
        On a machine with graft, in a folder that has the data file. “embedded” is the model that comes along.
      </p>
    </details>
  );
}
