/** This Deno in a process of its own. */

/** How a process ended and all that it said, standard output first. */
export interface Said {
  readonly code: number;
  readonly said: string;
}

/** Runs `deno ARGS` without colours in a folder. */
export async function deno(
  args: readonly string[],
  cwd: string,
  env: Readonly<Record<string, string>> = {},
): Promise<Said> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [...args],
    cwd,
    env: { NO_COLOR: "1", ...env },
  }).output();
  return { code, said: new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr) };
}
