/** @jsxImportSource preact */
/// <reference lib="dom" />
/** The page: its steps at a glance, and the one that is open. */
import { type JSX, render } from "preact";
import { useEffect, useMemo, useReducer, useRef } from "preact/hooks";
import { type Actions, actionsOf } from "./actions.ts";
import { CarryStep } from "./carry_step.tsx";
import { startClient } from "./client.ts";
import { CompareStep } from "./compare_step.tsx";
import { DataStep } from "./data_step.tsx";
import { MethodStep } from "./method_step.tsx";
import { ModelStep } from "./model_step.tsx";
import { methodOf } from "./settings.ts";
import { isOpen, isRunning, next, START, type State, type Step, STEPS } from "./state.ts";
import type { StepProps } from "./step_props.ts";
import { TrainStep } from "./train_step.tsx";
import { bytes, capital, many, parameters } from "./words.ts";

const TITLES: Readonly<Record<Step, string>> = {
  model: "Model",
  data: "Data",
  method: "Method",
  train: "Train",
  compare: "Compare",
  carry: "Carry away",
};

const VIEWS: Readonly<Record<Step, (props: StepProps) => JSX.Element>> = {
  model: ModelStep,
  data: DataStep,
  method: MethodStep,
  train: TrainStep,
  compare: CompareStep,
  carry: CarryStep,
};

/** What a step has come to, in a few words. */
function glance(state: State, step: Step): string {
  const { model, data, run, surroundings, method } = state;
  switch (step) {
    case "model":
      return model === undefined ? "" : `${model.name}, ${parameters(model.parameters)}`;
    case "data":
      return data === undefined ? "" : many(data.count, "row");
    case "method":
      return model === undefined ? "" : methodOf(surroundings, method)?.title ?? method;
    case "train": {
      if (run === undefined) return "";
      const last = run.entries.findLast(({ loss }) => loss !== undefined);
      return last === undefined
        ? capital(run.state)
        : `${last.step} of ${run.totalSteps}, loss ${last.loss!.toFixed(2)}`;
    }
    case "compare":
    case "carry":
      return "";
    default:
      return step satisfies never;
  }
}

function Studio(): JSX.Element {
  const [state, happen] = useReducer(next, START);
  const now = useRef(state);
  now.current = state;
  const heading = useRef<HTMLHeadingElement>(null);
  const actions = useMemo<Actions>(() => {
    const client = startClient(
      (news) => happen({ kind: "news", news, at: performance.now() }),
      (message) => happen({ kind: "failed", step: now.current.step, text: message }),
    );
    const address = new URLSearchParams(location.search);
    const hub = address.get("hub") ?? document.documentElement.dataset["hub"] ?? "https://huggingface.co";
    const threads = Number(address.get("threads")) || undefined;
    client.call("open", { hub, ...threads && { threads } }).then(
      (surroundings) => {
        const { left } = surroundings;
        happen({
          kind: "set",
          with: { surroundings, ...left && { step: "train", run: left, method: left.settings.method } },
        });
      },
      (error: Error) => happen({ kind: "failed", step: "model", text: error.message }),
    );
    return actionsOf(client, () => now.current, happen);
  }, []);
  const { step, surroundings, problem, busy, download, storage } = state;
  const seen = useRef(step);
  useEffect(() => {
    if (seen.current !== step) heading.current?.focus();
    seen.current = step;
  }, [step]);
  const running = isRunning(state);
  useEffect(() => {
    if (!running) return;
    const ask = (event: BeforeUnloadEvent): void => event.preventDefault();
    addEventListener("beforeunload", ask);
    const awake = navigator.wakeLock?.request("screen").catch(() => undefined);
    return () => {
      removeEventListener("beforeunload", ask);
      void awake?.then((lock) => lock?.release());
    };
  }, [running]);
  const View = VIEWS[step];
  return (
    <>
      <a class="skip" href="#step">To the step</a>
      <header>
        <p class="brand">
          <svg viewBox="0 0 16 16" aria-hidden="true">
            <path d="M8 15V7M8 9C8 5 5 4 2 4c0 3 2 5 6 5M8 6c0-3 2-5 6-5 0 4-2 5-6 5" />
          </svg>
          graft studio
        </p>
        <p class="quiet">Tunes a language model in this tab. Nothing leaves it.</p>
      </header>
      <div class="frame">
        <nav aria-label="Steps">
          <ol>
            {STEPS.map((one, i) => (
              <li key={one}>
                <button
                  type="button"
                  disabled={!isOpen(state, one) || surroundings === undefined}
                  {...one === step && { "aria-current": "step" as const }}
                  onClick={() => actions.go(one)}
                >
                  <span class="number" aria-hidden="true">{i + 1}</span>
                  <span class="title">{TITLES[one]}</span>
                  <span class="glance">{glance(state, one)}</span>
                </button>
              </li>
            ))}
          </ol>
        </nav>
        <main id="step">
          <h1 ref={heading} tabIndex={-1}>{TITLES[step]}</h1>
          {surroundings?.notKept !== undefined && <p class="note" role="status">{surroundings.notKept}.</p>}
          {storage !== undefined && <p class="note" role="alert">{storage}</p>}
          {problem?.step === step && <p class="problem" role="alert">{problem.text}</p>}
          {busy !== undefined && (
            <div class="busy" role="status">
              <p>
                {busy}…{download !== undefined &&
                  ` ${download.file}, ${bytes(download.received)}${
                    download.total > 0 ? ` of ${bytes(download.total)}` : ""
                  }`}
              </p>
              <progress
                aria-label={busy}
                {...download !== undefined && download.total > 0 &&
                  { max: download.total, value: download.received }}
              />
            </div>
          )}
          {surroundings === undefined && problem === undefined
            ? <p role="status">Starting…</p>
            : <View state={state} actions={actions} happen={happen} />}
        </main>
      </div>
    </>
  );
}

render(<Studio />, document.getElementById("studio")!);
