/** A registry of this machine: verdaccio, first before npm's own, whose packages it keeps, then by itself. */
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";

/** Where verdaccio keeps and listens. */
export interface RegistryPlace {
  readonly folder: string;
  readonly port: number;
}

/** Its address. */
export const addressOf = ({ port }: RegistryPlace): string => `http://127.0.0.1:${port}/`;

/** Installs verdaccio; it names a release of node-fetch that registries withdrew. @throws {Error} with what npm said. */
export function installVerdaccio(folder: string): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(
    `${folder}/package.json`,
    JSON.stringify({ private: true, overrides: { "node-fetch": "2.7.0" } }),
  );
  const { status, stdout, stderr } = spawnSync(
    "npm",
    ["install", "--no-audit", "--no-fund", "--ignore-scripts", "verdaccio@^6"],
    { cwd: folder, encoding: "utf8" },
  );
  if (status !== 0) throw new Error(`Cannot install verdaccio: ${stdout}${stderr}`);
}

/** Writes its settings. @param upstream Whether it asks npm's registry for what it does not have. @returns The file's path. */
export function verdaccioSettings({ folder, port }: RegistryPlace, upstream: string | undefined): string {
  const path = `${folder}/${upstream === undefined ? "alone" : "before npm"}.yaml`;
  const proxy = upstream === undefined ? "" : "\n    proxy: npm";
  writeFileSync(
    path,
    `storage: ${JSON.stringify(`${folder}/storage`)}
listen: 127.0.0.1:${port}
${upstream === undefined ? "" : `uplinks:\n  npm:\n    url: ${upstream}\n    maxage: 60m\n`}
packages:
  "@graft/*":
    access: $all
    publish: $anonymous
    unpublish: $anonymous
  "**":
    access: $all${proxy}
log: { type: stdout, format: pretty, level: warn }
max_body_size: 100mb
`,
  );
  return path;
}

/** Waits until the registry answers to `ask`. @throws {Error} when it does not within a minute. */
export async function answers(ask: () => boolean | Promise<boolean>): Promise<void> {
  const start = performance.now();
  while (!await ask()) {
    if (performance.now() - start > 60_000) throw new Error("The registry does not answer");
    await new Promise((done) => setTimeout(done, 200));
  }
}
