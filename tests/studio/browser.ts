/** The studio in a browser: Debian's Chromium, driven by Playwright, with axe-core to ask whether everybody can use it. */
/// <reference lib="dom" />
import assert from "node:assert/strict";
import axe from "axe-core";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { ISOLATED, studioHandler } from "../../cli/studio.ts";
import { buildStudio } from "../../studio/build.ts";

export type { Browser, BrowserContext, Page };

const NAMES = ["chromium", "chromium-browser", "google-chrome"];

/** Where a program of one of these names is; undefined where there is none. */
export function pathOf(names: readonly string[]): string | undefined {
  const folders = (Deno.env.get("PATH") ?? "").split(":");
  return names.flatMap((name) => folders.map((folder) => `${folder}/${name}`)).find((path) => {
    try {
      return Deno.statSync(path).isFile;
    } catch {
      return false;
    }
  });
}

/** Where Chromium is; undefined, and said, where there is none. */
export const CHROMIUM: string | undefined = pathOf(NAMES);
if (CHROMIUM === undefined) {
  console.warn(
    `NOT RUN: the studio's tests in a browser, since there is no Chromium here (${NAMES.join(", ")})`,
  );
}

/** Gives Chromium WebGPU on its software adapter, SwiftShader. */
export const SOFTWARE_GPU: readonly string[] = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];

/** Starts Chromium. */
export const launched = (flags: readonly string[] = []): Promise<Browser> =>
  chromium.launch({
    executablePath: CHROMIUM!,
    args: ["--no-sandbox", "--disable-dev-shm-usage", ...flags],
  });

/** A test that needs Chromium, and is ignored without. Playwright's own processes and timers outlive a test. */
export function browserTest(
  name: string,
  work: (browser: Browser, t: Deno.TestContext) => Promise<void>,
  flags: readonly string[] = [],
): void {
  Deno.test({
    ...{ name, ignore: CHROMIUM === undefined, sanitizeOps: false, sanitizeResources: false },
    fn: async (t) => {
      const browser = await launched(flags);
      try {
        await work(browser, t);
      } catch (error) {
        const folder = Deno.env.get("GRAFT_PICTURES");
        const pages = browser.contexts().flatMap((context) => context.pages());
        for (const [i, page] of folder === undefined ? [] : pages.entries()) {
          await page.screenshot({ path: `${folder}/failed-${i}.png`, fullPage: true });
        }
        throw error;
      } finally {
        await browser.close();
      }
    },
  });
}

/** Builds once what is asked for often. */
function once<T>(work: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => made ??= work();
}

/** The studio's files, built once. */
export const studio: () => ReturnType<typeof buildStudio> = once(buildStudio);

/** A server of the studio. */
export interface Served extends AsyncDisposable {
  readonly url: string;
}

/** Serves the studio, cross-origin isolated or not. */
export async function served(isolated: boolean, hub?: string): Promise<Served> {
  const handle = studioHandler(await studio(), hub, isolated ? ISOLATED : {});
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, handle);
  return {
    url: `http://127.0.0.1:${(server.addr as Deno.NetAddr).port}/`,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

/** A new page. What goes wrong in it is thrown by `checked`. */
export async function opened(
  context: BrowserContext,
  url: string,
): Promise<{ readonly page: Page; readonly errors: readonly string[] }> {
  const page = await context.newPage();
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  await page.goto(url);
  await page.getByRole("heading", { level: 1 }).waitFor();
  return { page, errors };
}

interface Violation {
  readonly id: string;
  readonly impact: string;
  readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[];
}

/** Sizes of a window: a desk's and a telephone's. */
const SIZES = [{ width: 1280, height: 800 }, { width: 390, height: 844 }] as const;

/** Takes pictures of a page into the folder `GRAFT_PICTURES`, if there is one. */
async function pictured(page: Page, name: string): Promise<void> {
  const folder = Deno.env.get("GRAFT_PICTURES");
  if (folder === undefined) return;
  for (const size of SIZES) {
    await page.setViewportSize(size);
    await page.screenshot({ path: `${folder}/${name}-${size.width}.png` });
  }
  await page.setViewportSize(SIZES[0]);
}

/** Fails where axe-core finds something serious, in light and in dark, of which it takes pictures where they are wanted. */
export async function accessible(page: Page, where: string): Promise<void> {
  await page.evaluate(axe.source);
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    await pictured(page, `${where.replaceAll(/\W+/g, "_").toLowerCase()}-${colorScheme}`);
    const found = await page.evaluate<readonly Violation[]>(
      `axe.run(document, { resultTypes: ["violations"] }).then(({ violations }) => violations)`,
    );
    const serious = found.filter(({ impact }) => impact === "serious" || impact === "critical");
    const shown = serious.map(({ id, nodes }) => `${id}: ${nodes[0]!.html} ${nodes[0]!.failureSummary}`);
    assert.deepEqual(shown, [], `${where}, ${colorScheme}`);
  }
  await page.emulateMedia({ colorScheme: "light" });
}

/** Drops a file on what has a label, as a person does. */
export async function drop(page: Page, near: string, name: string, content: string): Promise<void> {
  const transfer = await page.evaluateHandle(([name, content]) => {
    const data = new DataTransfer();
    data.items.add(new File([content!], name!));
    return data;
  }, [name, content]);
  const place = page.locator(".drop", { hasText: near });
  await place.dispatchEvent("dragover", { dataTransfer: transfer });
  await place.dispatchEvent("drop", { dataTransfer: transfer });
}

/** SHA-256 in hex. */
export async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
