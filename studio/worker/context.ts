/** What the worker's parts share: the tab's files, its storage, and a way to tell the page news. */
import type { Volume } from "../files/volume.ts";
import type { Storage } from "../files/opfs.ts";
import type { News } from "../protocol.ts";

/** See the module's comment. */
export interface Context {
  readonly volume: Volume;
  /** Absent where the browser keeps nothing. */
  readonly storage: Storage | undefined;
  /** The address of the model hub. */
  readonly hub: string;
  tell(news: News): void;
}
