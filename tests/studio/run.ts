/** A run of the studio's as a person prepares it: the embedded model and short data, both dropped on the page. */
import { unzipSync } from "fflate";
import { conversation } from "../../embedded/conversations/mod.ts";
import { fold, key } from "../../core/mod.ts";
import { drop, type Page } from "./browser.ts";

/** The model's folder. */
export const MODEL: URL = new URL("../../embedded/model/", import.meta.url);
/** Its files. */
export const FILES: readonly string[] = [
  "config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "model.safetensors",
];
/** Data of a few short rows. */
export const DATA: string = Array.from({ length: 48 }, (_, i) => {
  const { dialogue, summary } = conversation(fold(key(0), "story"), i, "delivery");
  return JSON.stringify({ dialogue, summary });
}).join("\n");

/** Chooses the model, the data and so many steps, and goes to training. */
export async function prepared(
  page: Page,
  settings: Readonly<Record<string, string>>,
  backend: "wasm" | "gpu" = "wasm",
): Promise<void> {
  await page.locator("input[type=file]").setInputFiles(FILES.map((name) => new URL(name, MODEL).pathname));
  await page.getByText("Give examples of what").waitFor();
  await drop(page, "Drop a file of JSON Lines", "talks.jsonl", DATA);
  await page.getByRole("button", { name: "Go on to the method" }).click();
  await page.getByText(/of 4.29 GB/).waitFor();
  for (const advanced of await page.locator("fieldset summary").all()) await advanced.click();
  for (const [label, value] of Object.entries(settings)) {
    await page.getByLabel(label, { exact: true }).fill(value);
  }
  await page.getByLabel("Seed", { exact: true }).blur();
  if (backend === "gpu") await page.getByLabel("Computes on").selectOption(backend);
  await page.getByText(/of 4.29 GB/).waitFor();
  await page.getByRole("button", { name: "Go on to training" }).click();
}

/** The losses that a log has, by step. */
export const lossesOf = (metrics: string): readonly number[] =>
  metrics.trim().split("\n").map((line) => JSON.parse(line) as { readonly loss?: number })
    .flatMap(({ loss }) => loss === undefined ? [] : [loss]);

/** An expression for a page: a file of the tab's storage, as `look` (a function of a `File`, as source) sees it. */
const stored = (path: string, look: string): string =>
  `(async (names) => {
    let folder = await navigator.storage.getDirectory();
    for (const name of names.slice(0, -1)) folder = await folder.getDirectoryHandle(name);
    return (${look})(await (await folder.getFileHandle(names.at(-1))).getFile());
  })(${JSON.stringify(["graft", ...path.split("/")])})`;

/** Its text. */
export const storedText = (path: string): string => stored(path, "(file) => file.text()");

/** Its SHA-256 in hex. */
export const storedHash = (path: string): string =>
  stored(
    path,
    `async (file) => [...new Uint8Array(await crypto.subtle.digest("SHA-256", await file.arrayBuffer()))]
      .map((byte) => byte.toString(16).padStart(2, "0")).join("")`,
  );

/** The files of the adapter that the page gives. */
export async function downloaded(page: Page): Promise<Readonly<Record<string, Uint8Array<ArrayBuffer>>>> {
  const [file] = await Promise.all([
    page.waitForEvent("download"),
    page.locator("[data-parcel=peft]").click(),
  ]);
  return unzipSync(await Deno.readFile(await file.path())) as Readonly<
    Record<string, Uint8Array<ArrayBuffer>>
  >;
}

/** The weights among them. */
export const WEIGHTS = "lora/adapter_model.safetensors";
