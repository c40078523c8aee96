/** @jsxImportSource preact */
/** The third step: the method, with what it costs on the model, and its settings. */
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Family, JsonValue, MethodCost, MethodInfo, Setting } from "../protocol.ts";
import { methodOf, suitable } from "./settings.ts";
import { SettingField, valueOf } from "./setting_field.tsx";
import type { StepProps } from "./step_props.ts";
import { bytes, capital, parameters } from "./words.ts";

/** What a WebAssembly memory holds. */
const LIMIT = 2 ** 32;

/** See the module's comment. */
export function MethodStep({ state, actions, happen }: StepProps): JSX.Element {
  const [sought, setSought] = useState("");
  const { surroundings, method, options, training, model, plan, costs } = state;
  const chosen = methodOf(surroundings, method);
  // What it takes is computed again when somebody has stopped changing things.
  useEffect(() => {
    if (state.data === undefined) return;
    const timer = setTimeout(() => void actions.plan(), 400);
    return () => clearTimeout(timer);
  }, [method, JSON.stringify(options), JSON.stringify(training), state.data?.name, state.model?.name]);
  const suits = model === undefined ? {} : suitable(model, chosen);
  const families = (surroundings?.families ?? []).map((family) => found(family, sought))
    .filter(({ methods }) => methods.length > 0);
  return (
    <>
      <p class="lead">
        Choose how to tune. LoRA is a good first choice; costs are computed for {model?.name}.
      </p>
      <div class="two">
        <section class="methods" aria-label="Methods">
          <label for="seek" class="quiet">
            Seek among {surroundings?.families.flatMap(({ methods }) => methods).length} methods
          </label>
          <input
            id="seek"
            type="search"
            placeholder="a name, or a word of what it does"
            value={sought}
            onInput={(event) => setSought(event.currentTarget.value)}
          />
          {families.length === 0 && <p>No method has “{sought}”.</p>}
          {families.map(({ name, methods }) => (
            <details
              key={name}
              open={sought !== "" || methods.some((one) => one.name === method)}
            >
              <summary>
                {capital(name)} <span class="quiet">{methods.length}</span>
              </summary>
              <ul>
                {methods.map((one) => (
                  <MethodChoice
                    key={one.name}
                    method={one}
                    cost={costs[one.name]}
                    checked={one.name === method}
                    chosen={() => actions.choose(one.name)}
                  />
                ))}
              </ul>
            </details>
          ))}
        </section>
        {chosen !== undefined && (
          <section class="card settings" aria-label="Settings">
            <h3>{chosen.title}</h3>
            <p>{chosen.summary}</p>
            <Cost cost={costs[method]} plan={plan} base={model?.parameters} />
            <Fields
              key={method}
              legend="Of the method"
              settings={chosen.options}
              value={(name) => options[name]}
              changed={(name, written) => happen({ kind: "option", name, value: valueOf(written) })}
            />
            <Fields
              legend="Of training"
              settings={surroundings?.training ?? []}
              value={(name) => training[name]}
              otherwise={(name) => suits[name]}
              changed={(name, written) => happen({ kind: "training", name, value: written })}
            />
            {surroundings?.gpu !== undefined && (
              <div class="field">
                <label for="backend">Computes on</label>
                <select
                  id="backend"
                  value={state.backend}
                  onChange={(event) =>
                    happen({ kind: "set", with: { backend: event.currentTarget.value as "wasm" | "gpu" } })}
                >
                  <option value="wasm">the processor</option>
                  <option value="gpu">the GPU ({surroundings.gpu})</option>
                </select>
              </div>
            )}
            <div class="row end">
              <button
                type="button"
                class="primary"
                onClick={() => actions.go(state.data === undefined ? "data" : "train")}
              >
                {state.data === undefined ? "Go on to the data" : "Go on to training"}
              </button>
            </div>
          </section>
        )}
      </div>
    </>
  );
}

const found = (family: Family, sought: string): Family => ({
  ...family,
  methods: family.methods.filter(({ name, title, summary }) =>
    `${family.name} ${name} ${title} ${summary}`.toLowerCase().includes(sought.trim().toLowerCase())
  ),
});

function MethodChoice(
  { method, cost, checked, chosen }: {
    readonly method: MethodInfo;
    readonly cost: MethodCost | undefined;
    readonly checked: boolean;
    readonly chosen: () => void;
  },
): JSX.Element {
  return (
    <li>
      <label class={checked ? "choice checked" : "choice"}>
        <input type="radio" name="method" value={method.name} checked={checked} onChange={chosen} />
        <span class="name">{method.title}</span>
        <span class="cost">
          {cost === undefined
            ? "…"
            : cost.trainable === undefined
            ? "needs more"
            : parameters(cost.trainable)}
        </span>
        <span class="summary">{method.summary}</span>
      </label>
    </li>
  );
}

function Cost(
  { cost, plan, base }: {
    readonly cost: MethodCost | undefined;
    readonly plan: StepProps["state"]["plan"];
    readonly base: number | undefined;
  },
): JSX.Element {
  if (cost?.refused !== undefined && plan === undefined) return <p class="note">{cost.refused}</p>;
  const share = cost?.trainable === undefined || base === undefined ? undefined : 100 * cost.trainable / base;
  return (
    <dl class="facts">
      <div>
        <dt>Trains</dt>
        <dd>
          {cost?.trainable === undefined ? "…" : parameters(cost.trainable)}{" "}
          <span class="quiet">{share?.toPrecision(2)} %</span>
        </dd>
      </div>
      <div>
        <dt>Its file</dt>
        <dd>{cost?.bytes === undefined ? "…" : bytes(cost.bytes)}</dd>
      </div>
      <div>
        <dt>The run takes</dt>
        <dd>
          {plan === undefined ? "…" : bytes(plan.total)} <span class="quiet">of {bytes(LIMIT)}</span>
        </dd>
      </div>
    </dl>
  );
}

function Fields(
  { legend, settings, value, otherwise = () => undefined, changed }: {
    readonly legend: string;
    readonly settings: readonly Setting[];
    readonly value: (name: string) => JsonValue | undefined;
    readonly otherwise?: (name: string) => string | undefined;
    readonly changed: (name: string, written: string | undefined) => void;
  },
): JSX.Element {
  const field = (setting: Setting): JSX.Element => {
    const suits = otherwise(setting.name);
    return (
      <SettingField
        key={setting.name}
        setting={setting}
        value={value(setting.name)}
        {...suits !== undefined && { otherwise: suits }}
        changed={(written) => changed(setting.name, written)}
      />
    );
  };
  const first = settings.filter((setting) => setting.first);
  const others = settings.filter((setting) => !setting.first);
  return (
    <fieldset>
      <legend>{legend}</legend>
      {settings.length === 0 && <p class="quiet">It has no settings.</p>}
      <div class="fields">{first.map(field)}</div>
      {others.length > 0 && (
        <details>
          <summary>
            Advanced <span class="quiet">{others.length}</span>
          </summary>
          <div class="fields">{others.map(field)}</div>
        </details>
      )}
    </fieldset>
  );
}
