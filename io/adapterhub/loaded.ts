/** What loading from AdapterHub's folders gives, before heads are put on. */
import type { Adapter } from "../../core/mod.ts";
import type { AdaptersFolder } from "../../formats/adapters_config.ts";
import type { AdaptersPart } from "./layout.ts";

/** An adapter of a folder with what its configuration says. */
export interface LoadedFolder {
  readonly adapter: Adapter;
  readonly folder: AdaptersFolder;
  readonly parts: readonly AdaptersPart[];
}

/** Loads one adapter's folder. */
export type Load = (path: string) => Promise<LoadedFolder>;

/** An adapter, and the folders that may hold its heads: one, or one for each branch that has rows of its own. */
export interface LoadedSetup {
  readonly adapter: Adapter;
  readonly headFolder: string;
  readonly branchHeads?: Readonly<Record<string, string>>;
}
