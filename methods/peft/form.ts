/** Forms of PEFT folders whose methods stand elsewhere than at layers with matrices. */
import type { Adapter, ComponentMethod, Method, MethodDefinition, Model, Tree } from "../../core/mod.ts";
import type { PeftConfig } from "../../formats/peft_config.ts";
import type { MainPart, PeftFields, ReadPart, WrittenPart } from "./main_part.ts";

/** Both directions for types of PEFT folders that no codec of layers can describe. */
export interface PeftForm {
  /** `peft_type`s. */
  readonly types: readonly string[];
  /** The methods that such folders hold. */
  readonly methods: readonly MethodDefinition[];
  /** The method of a config. @throws {RangeError} when PEFT would compute something else. */
  read(config: PeftConfig, model: Model, held: HeldAdapters): ReadPart;
  /** The method of an adapter. @throws {RangeError} when PEFT would compute something else. */
  write(component: ComponentMethod, model: Model): WrittenPart;
  /** Methods of which folders hold what remains of training; `when` says of what options, default: all. */
  readonly finalized?: readonly {
    readonly definition: MethodDefinition;
    when?(options: Readonly<Record<string, unknown>>): boolean;
  }[];
  /** Whether no folder can hold the methods: `read` and `write` say why. */
  readonly refused?: true;
  /** Adapters in folders of their own, which the method holds. */
  readonly held?: HeldFolders;
}

/** Adapters that another holds, by name. */
export type HeldAdapters = Readonly<Record<string, Adapter>>;

/** How a folder names the folders of adapters that its own holds. */
export interface HeldFolders {
  /** What one is called in messages: "expert". */
  readonly called: string;
  /** The field of the config that has folders by name. */
  readonly field: string;
  /** Where a held adapter is saved, from the folder. */
  folder(name: string): string;
  /** The adapters that one to be saved holds: methods by name and options alone. Gradients have none. */
  of(method: Method, params: Tree): HeldAdapters;
  /** The adapter without them. @throws {TypeError} when it is part of a composition. */
  without(adapter: Adapter): Adapter;
  /** Parameters with those of the held adapters. */
  join(fields: PeftFields, params: Tree, held: HeldAdapters): Tree;
  /** Checks a file for what PEFT itself may have lost. @throws {RangeError} when it lacks that. */
  check(folder: string, main: MainPart, keys: ReadonlyMap<string, unknown>): void;
}
