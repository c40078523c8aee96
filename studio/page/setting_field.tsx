/** @jsxImportSource preact */
/** One setting as a field of a form, from its schema: a choice, a yes or no, a number or a text. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { JsonValue, Setting } from "../protocol.ts";
import { capital } from "./words.ts";

/** "rankPattern" and "learning-rate" as people read them. */
export const spelt = (name: string): string =>
  capital(name.replace(/([a-z])([A-Z])/g, "$1 $2").replaceAll("-", " ").toLowerCase());

const text = (value: JsonValue | undefined): string =>
  value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value);

/** A field. `changed` gets what was written, or undefined where the default is meant. */
export function SettingField(
  { setting, value, otherwise, changed }: {
    readonly setting: Setting;
    readonly value: JsonValue | undefined;
    /** What holds where nothing is written. */
    readonly otherwise?: string;
    readonly changed: (written: string | undefined) => void;
  },
): JSX.Element {
  const { name, help, what, choices, isFlag, default: standard } = setting;
  const id = `setting-${name}`;
  const shown = otherwise ?? text(standard);
  const options = isFlag ? ["true", "false"] : choices;
  // As it is written, which may not be a value yet: "0." on the way to 0.01.
  const [written, write] = useState(text(value));
  const change = (event: JSX.TargetedEvent<HTMLInputElement | HTMLSelectElement>): void => {
    write(event.currentTarget.value);
    const given = event.currentTarget.value.trim();
    changed(given === "" ? undefined : given);
  };
  return (
    <div class="field">
      <label for={id}>{spelt(name)}</label>
      {options === undefined
        ? (
          <input
            id={id}
            type="text"
            autocomplete="off"
            spellcheck={false}
            inputMode={/number|integer/.test(what) && !what.includes("list") ? "decimal" : undefined}
            placeholder={shown === "" ? "by itself" : shown}
            value={written}
            aria-describedby={`${id}-help`}
            onInput={change}
          />
        )
        : (
          <select id={id} value={written} aria-describedby={`${id}-help`} onChange={change}>
            <option value="">{shown === "" ? "by itself" : plainly(shown, isFlag === true)}</option>
            {options.map((option) => (
              <option key={option} value={option}>{plainly(option, isFlag === true)}</option>
            ))}
          </select>
        )}
      <p class="help" id={`${id}-help`}>{help}</p>
    </div>
  );
}

const plainly = (option: string, isFlag: boolean): string =>
  isFlag ? option === "true" ? "yes" : option === "false" ? "no" : option : option;

/** What was written as a value: JSON where it is some, else a text. */
export function valueOf(written: string | undefined): JsonValue | undefined {
  if (written === undefined) return undefined;
  try {
    return JSON.parse(written) as JsonValue;
  } catch {
    return written;
  }
}
