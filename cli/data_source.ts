/** Where the data of a command lies: a file, a folder, or a data set of the hub. */
import { downloadDataSet } from "../io/hub/data_set.ts";
import { hubId } from "../io/hub/download.ts";
import { exists } from "../io/local_path.ts";
import { downloadNotes } from "./terminal/download_notes.ts";
import { note } from "./terminal/output.ts";

/** A path as it is; of a hub id that is no path, the folder of its download. */
export async function dataSource(named: string): Promise<string> {
  if (hubId(named) === undefined || await exists(named)) return named;
  note(`Taking ${named} from the hub: there is no such file here`);
  return await downloadDataSet(named, { onProgress: downloadNotes() });
}

/** Flags with the data that they name brought here. */
export async function localData<F extends { readonly data?: string; readonly evalData?: string }>(
  flags: F,
): Promise<F> {
  const { data, evalData } = flags;
  return {
    ...flags,
    ...data !== undefined && { data: await dataSource(data) },
    ...evalData !== undefined && { evalData: await dataSource(evalData) },
  };
}
