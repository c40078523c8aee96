/** The files of a fusion: its adapters' folders and its own, named after them. */
import { type Adapter, type Json, lookup, type Model, Tensor, type Tree } from "../../core/mod.ts";
import { ADAPTERS_FILES } from "../../formats/adapters_config.ts";
import { FUSE } from "../../methods/adapterhub/blocks.ts";
import { type Component, componentsOf } from "../../methods/adapterhub/components.ts";
import { classOf } from "./head.ts";
import { prefixed } from "../../methods/adapterhub/layout.ts";
import { adapterFiles, configText, type HubFile, keyPrefix, writableTensors } from "./files.ts";
import { rangeError } from "../../errors/error.ts";

/** A block of the setup and its files. @throws {RangeError} when the library would fuse differently. */
export function fusionFiles(
  { of: fused, options, params, prefix }: Component,
  adapter: Adapter,
  model: Model,
): { readonly block: Json; readonly files: readonly HubFile[] } {
  const { fields: config, matrices } = FUSE.write(options);
  const adapters = fused.components!;
  const names = Object.keys(adapters);
  const at = (path: string): string => prefix === "" ? path : `${prefix}.${path}`;
  const own = names.flatMap((name) => {
    const held = lookup(params, `frozen.${name}`);
    if (held === undefined || held instanceof Tensor) {
      throw rangeError(
        "CANNOT_SAVE",
        `Cannot save this fusion for AdapterHub: it lacks the parameters of "${name}"`,
      );
    }
    const components = componentsOf(adapters[name]!, held, at(`frozen.${name}`));
    return adapterFiles(name, components, adapter, model).map((file) => ({
      ...file,
      path: `${name}/${file.path}`,
    }));
  });
  const name = names.join(",");
  const fusion = (params["fusion"] ?? {}) as Tree;
  const sites = new Set(
    model.spec.sublayers.map(({ path }) => path).filter((path) => hasBranch(fusion, path)),
  );
  const tensors = prefixed(at("fusion"), FUSE.tensors(model, sites, name, matrices));
  const modelClass = classOf(model);
  const text = configText(name, model, modelClass, config, { adapter_names: names });
  return {
    block: { type: "Fuse", children: names.map((child) => ({ type: "single", children: [child] })) },
    files: [
      ...own,
      { path: `${name}/${ADAPTERS_FILES.fusionConfig}`, text },
      {
        path: `${name}/${ADAPTERS_FILES.fusion}`,
        tensors: writableTensors(tensors.writes, adapter.params, keyPrefix(model, modelClass)),
      },
    ],
  };
}

function hasBranch(tree: Tree, path: string): boolean {
  return path.split(".").reduce<unknown>((node, name) => (node as Tree | undefined)?.[name], tree) !==
    undefined;
}
