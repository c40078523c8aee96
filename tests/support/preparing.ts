/** A run in which a method is prepared, with adapters in place of folders. */
import { adapt, type Adapter, type Batch, type Method, type Model, type Preparing } from "../../core/mod.ts";
import { knownMethods } from "../../io/records/known_methods.ts";

/** Methods by the name of the folder in which a trained adapter of them would be. */
export type Folders = Readonly<Record<string, Method>>;

/** What `prepare` is given on a model: loading makes a fresh adapter of the folder's method. */
export function preparing(
  model: Model,
  options: Readonly<Record<string, unknown>>,
  folders: Folders = {},
  batches: readonly Batch[] = [],
): Preparing {
  return {
    model,
    options,
    seed: 0,
    batches: () => batches,
    load: (folder) => {
      const method = folders[folder];
      if (method === undefined) return Promise.reject(new RangeError(`no folder ${folder}`));
      return Promise.resolve<Adapter>(adapt(model, method, Object.keys(folders).indexOf(folder)));
    },
    train: () => Promise.reject(new Error("nothing trains here")),
    steps: 1,
    method: knownMethods().get,
  };
}
