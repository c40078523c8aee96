/** The result of loading AdapterHub folders, before heads are added. */
import type { Adapter } from "../../core/mod.ts";
import type { AdaptersFolder } from "../../formats/adapters_config.ts";
import type { AdaptersPart } from "../../methods/adapterhub/layout.ts";

/** An adapter of a folder with its configuration. */
export interface LoadedFolder {
  readonly adapter: Adapter;
  readonly folder: AdaptersFolder;
  readonly parts: readonly AdaptersPart[];
}

/** Loads one adapter's folder. */
export type Load = (path: string) => Promise<LoadedFolder>;

/** An adapter, and the folders that may hold its heads: one, or one for each branch with its own rows. */
export interface LoadedSetup {
  readonly adapter: Adapter;
  readonly headFolder: string;
  readonly branchHeads?: Readonly<Record<string, string>>;
}
