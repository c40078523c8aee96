/** The content of an adapter's folder or GGUF file. */
import { STANDARD_ARCHITECTURE } from "../formats/adapters_fields.ts";
import { readdirSync } from "node:fs";
import type { GgufFile } from "../formats/gguf.ts";
import { openSafetensors } from "../formats/safetensors.ts";
import { isObject } from "../formats/strict_json.ts";
import type { JsonObject } from "../formats/tensor_file.ts";
import { type Contents, contents, exists, readJson } from "./inspect_contents.ts";
import { typeError } from "../errors/error.ts";

/** One adapter of a folder. */
export interface AdapterDescription extends Contents {
  /** Discriminant of the union of descriptions. */
  readonly kind: "adapter";
  /** The folder's or file's format. */
  readonly format: "peft" | "adapters" | "gguf" | "graft";
  /** Its subfolder, unless it is at the root. */
  readonly name?: string;
  /** The method, as named in its config: "LORA", "IA3", …. */
  readonly method: string;
  /** The base that the file names. */
  readonly base?: string;
  /** Target layers, as in the file. */
  readonly targets?: string | readonly string[];
  /** All other fields of its config with a value. */
  readonly options: JsonObject;
}

/** Describes a folder that has an adapter_config.json. */
export function inspectAdapter(folder: string): AdapterDescription {
  const config = readJson(`${folder}/adapter_config.json`);
  const files = ["adapter_model.safetensors", "adapter.safetensors", "model.safetensors"];
  const file = files.find((name) => exists(`${folder}/${name}`));
  if (file === undefined) {
    const pickle = readdirSync(folder).find((name) => /\.(bin|pt)$/.test(name));
    throw typeError(
      pickle === undefined ? "FILE_NOT_FOUND" : "PICKLE_REFUSED",
      pickle === undefined
        ? `Cannot inspect "${folder}": it has adapter_config.json but no adapter_model.safetensors`
        : `Cannot inspect "${folder}": "${pickle}" is a pickle file, which can run code when it is read; convert it to safetensors`,
    );
  }
  const open = openSafetensors(`${folder}/${file}`);
  try {
    const counted = contents([...open.tensors.values()]);
    const { peft_type, base_model_name_or_path, target_modules, config: inner, model_name, ...rest } = config;
    const own = config["graft"];
    if (isObject(own)) {
      const { method, config: options, version: _, ...composed } = own;
      return {
        kind: "adapter",
        format: "graft",
        method: String(method),
        ...typeof base_model_name_or_path === "string" && { base: base_model_name_or_path },
        options: said(isObject(options) ? options : composed),
        ...counted,
      };
    }
    const peft = typeof peft_type === "string";
    const inside = isObject(inner) ? inner : {};
    const base = peft ? base_model_name_or_path : model_name;
    return {
      kind: "adapter",
      format: peft ? "peft" : "adapters",
      method: peft
        ? peft_type
        : String(inside["architecture"] ?? (isObject(inner) ? STANDARD_ARCHITECTURE : "unknown")),
      ...typeof base === "string" && { base },
      ...(typeof target_modules === "string" || isNames(target_modules)) && { targets: target_modules },
      options: said(peft ? rest : inside),
      ...counted,
    };
  } finally {
    open.close();
  }
}

/** Describes an open GGUF file that contains an adapter. */
export function inspectGgufAdapter({ metadata, tensors }: GgufFile): AdapterDescription {
  const stored = [...tensors.values()];
  const targets = new Set(
    stored.map((t) => t.name.replace(/\.lora_[ab]$/, "").replace(/^blk\.\d+\.|\.weight$/g, "")),
  );
  const base = metadata.get("general.base_model.0.name");
  return {
    kind: "adapter",
    format: "gguf",
    method: String(metadata.get("adapter.type") ?? "unknown"),
    ...typeof base === "string" && { base },
    targets: [...targets],
    options: {
      architecture: metadata.get("general.architecture"),
      alpha: metadata.get("adapter.lora.alpha"),
    },
    ...contents(stored),
  };
}

/** The fields with a value: not null, empty or false. */
function said(fields: JsonObject): JsonObject {
  return Object.fromEntries(
    Object.entries(fields).filter(([, v]) =>
      v !== null && v !== false && v !== "" && !(typeof v === "object" && Object.keys(v!).length === 0)
    ),
  );
}

const isNames = (value: unknown): value is readonly string[] =>
  Array.isArray(value) && value.every((name) => typeof name === "string");
