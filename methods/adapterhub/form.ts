/** How AdapterHub's configurations become methods and back: one form for each of its architectures. */
import type { MethodDefinition, Model } from "../../core/mod.ts";
import type { AdaptersConfig, AdaptersFolder } from "../../formats/adapters_config.ts";
import type { AdaptersFields, Architecture } from "../../formats/adapters_fields.ts";
import type { StoredTensor } from "../../formats/tensor_file.ts";
import type { Component } from "./components.ts";
import type { AdaptersPart, PartKind } from "./layout.ts";

/** Both directions for configurations of some architectures. */
export interface AdaptersForm {
  /** The architectures; configurations are written as the first. */
  readonly architectures: readonly [Architecture, ...Architecture[]];
  /** The parts that a configuration describes. @throws {RangeError} when the model cannot have them. */
  read(
    config: AdaptersConfig,
    model: Model,
    folder: Pick<AdaptersFolder, "name" | "modelClass">,
    stored: ReadonlyMap<string, StoredTensor>,
  ): readonly AdaptersPart[];
  /** A configuration of a version before 1.1 as that computed. */
  asTrained?(config: AdaptersConfig): AdaptersConfig;
  /** The methods that such configurations hold. */
  readonly writes: readonly AdaptersWriting[];
}

/** How methods become a configuration. */
export interface AdaptersWriting {
  /** The methods. */
  readonly methods: readonly MethodDefinition[];
  /** The kind of part that they are. */
  readonly kind: PartKind;
  /** Their fields. @throws {RangeError} when the library would compute something else. */
  fields(component: Component, model: Model): AdaptersFields;
  /** Whether the library's own heads undo what a method of these options does to the embedded text. */
  undone?(options: Readonly<Record<string, unknown>>): boolean;
}
