/**
 * `deno task notebooks [names]`: executes every notebook, or those named, each in a fresh Deno kernel without a browser, and
 * writes its outputs back. Exit status 1 when a cell fails. The Python that speaks to the kernel lies in `notebooks/.venv`,
 * which is made when it is missing; the kernelspec is written for the run and points at this Deno.
 */
import { fileURLToPath } from "node:url";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const PYTHON = `${HERE}.venv/bin/python`;
const KERNEL = "graft-deno";

if (import.meta.main) Deno.exit(await main(Deno.args));

async function main(names: readonly string[]): Promise<number> {
  const notebooks = chosen(names);
  await ensurePython();
  const jupyter = await kernelFolder();
  let failed = 0;
  try {
    for (const name of notebooks) {
      console.error(`${name} …`);
      if (!await execute(name, jupyter)) failed++;
    }
  } finally {
    await Deno.remove(jupyter, { recursive: true });
  }
  console.error(`${notebooks.length - failed} of ${notebooks.length} notebooks ran`);
  return failed === 0 ? 0 : 1;
}

/** The notebooks of this folder, or those that names stand for, with or without `.ipynb`. */
function chosen(names: readonly string[]): readonly string[] {
  const all = [...Deno.readDirSync(HERE)].map(({ name }) => name).filter((n) => n.endsWith(".ipynb")).sort();
  if (names.length === 0) return all;
  return names.map((name) => {
    const file = `${name.split("/").at(-1)!.replace(/\.ipynb$/, "")}.ipynb`;
    if (all.includes(file)) return file;
    throw new RangeError(`Expected the name of a notebook but found "${name}": there are ${all.join(", ")}`);
  });
}

/** Outputs replace the notebook only when every cell ran. */
async function execute(name: string, jupyter: string): Promise<boolean> {
  const done = `${jupyter}/${name}`;
  const { success } = await run(PYTHON, [`${HERE}execute.py`, `${HERE}${name}`, done, KERNEL], {
    JUPYTER_PATH: jupyter,
    JUPYTER_PLATFORM_DIRS: "1",
    NO_COLOR: "1",
  });
  if (!success) return false;
  await Deno.copyFile(done, `${HERE}${name}`);
  return true;
}

async function ensurePython(): Promise<void> {
  // A missing program throws at once, before there is a promise to catch.
  const imports = async (): Promise<boolean> =>
    (await new Deno.Command(PYTHON, {
      args: ["-c", "import nbclient, jupyter_client"],
      stdout: "null",
      stderr: "null",
    }).output()).success;
  const found = await imports().catch(() => false);
  if (found) return;
  console.error("Making notebooks/.venv with nbclient and jupyter_client …");
  for (
    const [command, ...args] of [
      ["python3", "-m", "venv", `${HERE}.venv`],
      [
        PYTHON,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "-r",
        `${HERE}requirements.txt`,
      ],
    ] as const
  ) {
    if (!(await run(command, args)).success) {
      throw new Error(
        "Cannot make the Python environment of the notebooks: python3 with venv, and PyPI, are needed once",
      );
    }
  }
}

/** A folder that names this Deno as a Jupyter kernel, for JUPYTER_PATH. */
async function kernelFolder(): Promise<string> {
  const folder = await Deno.makeTempDir({ prefix: "graft-notebooks-" });
  await Deno.mkdir(`${folder}/kernels/${KERNEL}`, { recursive: true });
  await Deno.writeTextFile(
    `${folder}/kernels/${KERNEL}/kernel.json`,
    JSON.stringify({
      argv: [Deno.execPath(), "jupyter", "--kernel", "--conn", "{connection_file}"],
      display_name: "Deno",
      language: "typescript",
    }),
  );
  return folder;
}

function run(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Deno.CommandStatus> {
  return new Deno.Command(command, {
    args: [...args],
    env,
    stdin: "null",
    stdout: "inherit",
    stderr: "inherit",
  })
    .spawn().status;
}
