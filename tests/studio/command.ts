/** The command line that the page shows for a run, and what it makes in Deno. */
/// <reference lib="dom" />
import assert from "node:assert/strict";
import { commandsOf } from "../docs/command_lines.ts";
import type { Page } from "./browser.ts";
import { DATA, FILES, MODEL } from "./run.ts";

/** The words of the command line that the page shows. */
export async function commandOf(page: Page): Promise<readonly string[]> {
  const details = page.locator("details", { hasText: "The command line that does the same" });
  if (await details.getAttribute("open") === null) await details.locator("summary").click();
  return commandsOf(await details.locator("pre").innerText())[0]!;
}

/** Carries out the words in a folder that has the model and the data, and looks at the folder of the adapter. */
export async function ofDeno<T>(
  words: readonly string[],
  look: (output: string) => Promise<T>,
): Promise<T> {
  const folder = await Deno.makeTempDir({ prefix: "graft-studio-" });
  try {
    await Deno.mkdir(`${folder}/model`);
    await Deno.mkdir(`${folder}/data`);
    for (const name of FILES) await Deno.copyFile(new URL(name, MODEL), `${folder}/model/${name}`);
    await Deno.writeTextFile(`${folder}/data/talks.jsonl`, DATA);
    const main = new URL("../../cli/main.ts", import.meta.url).pathname;
    const { code, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", main, ...words.slice(1)],
      cwd: folder,
    }).output();
    assert.equal(code, 0, new TextDecoder().decode(stderr));
    return await look(`${folder}/runs/lora`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
