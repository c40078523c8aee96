/** The API's pages: every export is there, and found by the search. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { apiSiteArguments } from "../../tools/api_site.ts";
import { temporaryFolder } from "../cli/tiny.ts";
import { deno } from "../support/deno.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

Deno.test("the API's pages have every export, and a search that knows them", async () => {
  using folder = temporaryFolder();
  const site = `${folder.path}/api`;
  const { code, said } = await deno(apiSiteArguments(site), ROOT);
  assert.equal(code, 0, said);
  const { exports } = JSON.parse(readFileSync(`${ROOT}deno.json`, "utf8"));
  for (const name of Object.keys(exports)) {
    const page = name === "." ? "index.html" : `${name.slice(2)}/index.html`;
    assert.ok(existsSync(`${site}/${page}`), `${name} has no ${page}`);
  }
  const index = readFileSync(`${site}/search_index.js`, "utf8");
  for (const symbol of ["startTraining", "loadAdapter", "dpo"]) {
    assert.match(index, new RegExp(`"${symbol}"`));
  }
});
