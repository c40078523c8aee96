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
export async function prepared(page: Page, settings: Readonly<Record<string, string>>): Promise<void> {
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
  await page.getByText(/of 4.29 GB/).waitFor();
  await page.getByRole("button", { name: "Go on to training" }).click();
}

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
