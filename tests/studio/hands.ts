/** A person's hands and eyes, for browsers that Playwright does not drive: functions that a page gets, and calls of them. */

/** A page that evaluates. */
interface Evaluating {
  evaluate<T>(expression: string): Promise<T>;
}

const HANDS = `Object.assign(globalThis, {
  until: async (look, what) => {
    for (const end = Date.now() + 120_000; Date.now() < end; await new Promise((go) => setTimeout(go, 50))) {
      const found = look();
      if (found) return found;
    }
    throw new Error("waited for " + what + " in vain: " + document.body.innerText);
  },
  see: (text) => until(() => document.body.innerText.includes(text), text).then(() => null),
  press: async (name) => {
    const named = () => [...document.querySelectorAll("main button")].findLast((b) => b.innerText.trim() === name && !b.disabled);
    (await until(named, name)).click();
    return null;
  },
  fill: (label, value) => {
    const found = [...document.querySelectorAll("label")].find((l) => l.innerText.trim() === label);
    const field = document.getElementById(found.htmlFor);
    field.value = value;
    for (const kind of ["input", "change", "blur"]) field.dispatchEvent(new Event(kind, { bubbles: true }));
    return null;
  },
  drop: (name, content) => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([content], name));
    document.querySelector(".drop").dispatchEvent(new DragEvent("drop", { bubbles: true, dataTransfer }));
    return null;
  },
})`;

/** What a person does on a page. */
export interface Hands {
  /** Waits for a text. */
  see(text: string): Promise<void>;
  /** Presses the last button of a name, when it can be. */
  press(name: string): Promise<void>;
  /** Writes into the field of a label. */
  fill(label: string, value: string): Promise<void>;
  /** Drops a file where files are dropped. */
  drop(name: string, content: string): Promise<void>;
}

/** Hands for an open page. */
export async function hands(page: Evaluating): Promise<Hands> {
  await page.evaluate(`(${HANDS}, null)`);
  const call = (name: string) => async (...given: readonly string[]): Promise<void> => {
    await page.evaluate(`${name}(${given.map((word) => JSON.stringify(word)).join(", ")})`);
  };
  return { see: call("see"), press: call("press"), fill: call("fill"), drop: call("drop") };
}
