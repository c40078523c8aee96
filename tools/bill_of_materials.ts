/** What the packages are made of, in CycloneDX: npm's own list of the JavaScript packages, and the crates of the kernels' lock file. */
import { spawnSync } from "node:child_process";

/** A part of a bill, as CycloneDX has it. */
export interface Component {
  readonly type: "library";
  readonly "bom-ref": string;
  readonly name: string;
  readonly version: string;
  readonly purl: string;
  readonly hashes?: readonly { readonly alg: string; readonly content: string }[];
}

/** A bill in CycloneDX, as far as it is changed here. */
export interface Bill {
  readonly metadata: { readonly component: { readonly name: string } };
  readonly components: readonly object[];
}

/** The crates that a Cargo.lock names, from registries; crates of the workspace have no source. */
export const cratesOf = (lock: string): readonly Component[] =>
  lock.split("[[package]]").slice(1).filter((entry) => /^source = "registry/m.test(entry)).map((entry) => {
    const field = (name: string): string => new RegExp(`^${name} = "([^"]*)"`, "m").exec(entry)?.[1] ?? "";
    const purl = `pkg:cargo/${field("name")}@${field("version")}`;
    return {
      type: "library",
      "bom-ref": purl,
      name: field("name"),
      version: field("version"),
      purl,
      hashes: [{ alg: "SHA-256", content: field("checksum") }],
    };
  });

/** npm's bill of a project's packages, without those that only build it. @throws {Error} with what npm said. */
export function billOfProject(folder: string): Bill {
  const { status, stdout, stderr } = spawnSync(
    "npm",
    ["sbom", "--omit=dev", "--sbom-format=cyclonedx", "--sbom-type=library"],
    { cwd: folder, encoding: "utf8", maxBuffer: 1 << 26 },
  );
  if (status !== 0) throw new Error(`npm sbom failed: ${stdout}${stderr}`);
  return JSON.parse(stdout);
}

/** A bill under the package's name, with the crates, too. npm gives it the folder's name. */
export const withCrates = (bill: Bill, name: string, lock: string): Bill => ({
  ...bill,
  metadata: { ...bill.metadata, component: { ...bill.metadata.component, name } },
  components: [...bill.components, ...cratesOf(lock)],
});
