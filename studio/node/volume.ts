/** The tab's files, which are one for all its code as a disk is for a program's. */
import { Volume } from "../files/volume.ts";

/** See the module's comment. */
export const volume: Volume = new Volume();
