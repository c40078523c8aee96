/** A folder that lives as long as a test uses it. */

/** Runs with a fresh folder and removes it. */
export async function inFolder<T = void>(run: (folder: string) => T | Promise<T>): Promise<T> {
  const folder = Deno.makeTempDirSync();
  try {
    return await run(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}
