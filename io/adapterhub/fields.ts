/**
 * Converts a method to AdapterHub's configuration for it. Methods that it would compute differently are
 * refused.
 */
import type { Model } from "../../core/mod.ts";
import type { AdaptersConfig } from "../../formats/adapters_config.ts";
import { ADAPTERS_FIELDS, type AdaptersFields, type Architecture } from "../../formats/adapters_fields.ts";
import { type Component, refuse } from "../../methods/adapterhub/components.ts";
import type { AdaptersWriting } from "../../methods/adapterhub/form.ts";
import type { PartKind } from "../../methods/adapterhub/layout.ts";
import { FUSE } from "../../methods/adapterhub/blocks.ts";
import { HUB_FORMS } from "../../methods/index.ts";
import { typeError } from "../../errors/error.ts";

/** A component with its configuration. */
export interface Described {
  readonly component: Component;
  readonly kind: PartKind;
  readonly config: AdaptersConfig;
}

/** How a component's method is written, and as what architecture; undefined where the library has none. */
export function writingOf(
  { of }: Component,
): { readonly architecture: Architecture; readonly writing: AdaptersWriting } | undefined {
  return HUB_FORMS.flatMap(({ architectures: [architecture], writes }) =>
    writes.filter(({ methods }) => methods.some((one) => one === of.definition))
      .map((writing) => ({ architecture, writing }))
  )[0];
}

/** @throws {TypeError} when the library has no such method. @throws {RangeError} when it would compute something else. */
export function describe(component: Component, model: Model): Described {
  const found = writingOf(component);
  if (found === undefined) {
    const names = [
      ...HUB_FORMS.flatMap(({ writes }) => writes.flatMap(({ methods }) => methods)),
      FUSE.definition,
    ]
      .map(({ title, name }) => title ?? name).sort();
    throw typeError(
      "CANNOT_SAVE",
      `Cannot save "${component.method}" as an AdapterHub folder: it holds ${
        names.join(", ")
      }, gated ones of these and heads; ` +
        'save it with format "graft", or merge it and save the model',
    );
  }
  const { architecture, writing: { kind, fields } } = found;
  if (component.gate !== undefined && !kind.gates.includes(component.gate)) {
    return refuse(component, `the library has no gate "${component.gate}" for it`);
  }
  const gating: AdaptersFields = component.gate === undefined ? {} : { use_gating: true };
  const own = fields(component, model);
  return {
    component,
    kind,
    config: { architecture, fields: { ...ADAPTERS_FIELDS[architecture], ...own, ...gating } },
  };
}
