/**
 * Locates an adapter: in a folder or a hub id, at the root of the folder or in a subfolder with the adapter's
 * name.
 */
import { readdir, stat } from "node:fs/promises";
import { PEFT_FILES } from "../formats/peft_keys.ts";
import { download, hubId } from "./hub/download.ts";
import { exists } from "./local_path.ts";
import { rangeError, typeError } from "../errors/error.ts";

/** The source as a local folder: itself, or the download of a hub id. */
export async function localFolder(
  source: string,
  name: string | undefined,
  signal?: AbortSignal,
): Promise<string> {
  if (await exists(source)) {
    if ((await stat(source)).isDirectory()) return source.replace(/\/+$/, "");
    throw rangeError(
      "ADAPTER_NOT_FOUND",
      `Cannot load an adapter from "${source}": it is a file; give the folder that holds it`,
    );
  }
  if (hubId(source) !== undefined) {
    const files = [PEFT_FILES.config, PEFT_FILES.weights].map((file) => `${name}/${file}`);
    return await download(source, {
      ...name !== undefined && name !== "default" && { files },
      ...signal && { signal },
    });
  }
  throw rangeError(
    "ADAPTER_NOT_FOUND",
    `Cannot load an adapter from "${source}": there is no such folder, and it is no hub id`,
  );
}

/** Whether a file or folder exists and is readable. */
export const isThere = (path: string): Promise<boolean> => stat(path).then(() => true, () => false);

/** The root contains the adapter "default", each subfolder one with its name. */
export async function adapterFolder(
  root: string,
  name: string | undefined,
): Promise<{ readonly folder: string; readonly name: string }> {
  const folder = name === undefined ? root : `${root}/${name}`;
  if (await isThere(`${folder}/${PEFT_FILES.config}`)) return { folder, name: name ?? "default" };
  const atRoot = await isThere(`${root}/${PEFT_FILES.config}`);
  if (name === "default" && atRoot) return { folder: root, name };
  const names: string[] = atRoot ? ["default"] : [];
  for (const entry of await readdir(root, { withFileTypes: true })) {
    if (entry.isDirectory() && await isThere(`${root}/${entry.name}/${PEFT_FILES.config}`)) {
      names.push(entry.name);
    }
  }
  throw rangeError(
    "ADAPTER_NOT_FOUND",
    `Cannot load ${name === undefined ? "an adapter" : `the adapter "${name}"`} from "${root}": ` +
      (names.length === 0
        ? `it has no ${PEFT_FILES.config}`
        : `it holds ${names.sort().join(", ")}; say which with { name }`),
  );
}

/** Names of a tensor file and of its pickled form, and how to convert the second to the first. */
export interface WeightsFiles {
  readonly weights: string;
  readonly pickle: string;
  readonly remedy: string;
}

const PEFT_WEIGHTS: WeightsFiles = {
  weights: PEFT_FILES.weights,
  pickle: PEFT_FILES.pickle,
  remedy: "load and save the adapter in PEFT once to get safetensors",
};

/** The folder's tensor file, PEFT's by default. @throws {TypeError} when there is only a pickled one. */
export async function weightsPath(
  folder: string,
  { weights, pickle, remedy }: WeightsFiles = PEFT_WEIGHTS,
): Promise<string> {
  const path = `${folder}/${weights}`;
  if (await isThere(path)) return path;
  throw await isThere(`${folder}/${pickle}`)
    ? typeError(
      "PICKLE_REFUSED",
      `Cannot load "${folder}": ${pickle} is a pickle file, which can run code when it is read; ${remedy}`,
    )
    : rangeError("ADAPTER_NOT_FOUND", `Cannot load "${folder}": it has no ${weights}`);
}
