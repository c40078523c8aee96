/** The README.md of an adapter folder: what it belongs to, how large it is, how it was made. */

/** What the card states. Undefined parts are left out. */
export interface AdapterCard {
  /** Hub id or folder of the base. */
  readonly base: string | undefined;
  readonly method: string;
  /** `peft_type` of the folder; undefined in graft's own form, which no other program reads. */
  readonly type?: string;
  /** SPDX id or a name such as "llama3". */
  readonly licence?: string;
  /** Parameters that trained, and the base's. */
  readonly trained: number;
  readonly ofBase: number;
  /** Layers that are adapted, where the method changes layers. */
  readonly layers?: number;
  /** A hash of the training data. */
  readonly data?: string;
  /** The command that made it. */
  readonly command?: string;
}

/**
 * The card as Markdown with the front matter that model hubs read.
 *
 * @example
 * ```ts ignore
 * adapterCard({ base: "org/base", method: "lora", type: "LORA", trained: 10, ofBase: 1000, layers: 2 });
 * ```
 */
export function adapterCard(card: AdapterCard): string {
  const { base, licence, data, command, type, layers } = card;
  const share = (100 * card.trained / card.ofBase).toPrecision(3);
  const rows = [
    ["Base", base ?? "not recorded"],
    ["Licence", licence ?? "not stated; the base's terms apply to what is made from it"],
    ["Method", type === undefined ? card.method : `${card.method} (PEFT type ${type})`],
    ...layers === undefined ? [] : [["Adapted layers", String(layers)] as const],
    ["Trained parameters", `${grouped(card.trained)}, ${share} % of the base's ${grouped(card.ofBase)}`],
    ...data === undefined ? [] : [["Training data", data] as const],
  ];
  return [
    "---",
    ...base === undefined ? [] : [`base_model: ${JSON.stringify(base)}`],
    ...licence === undefined ? [] : [`license: ${JSON.stringify(licence)}`],
    ...type === undefined ? [] : ["library_name: peft"],
    "tags:",
    "- graft",
    `- ${(type ?? card.method).toLowerCase()}`,
    "---",
    "",
    "# Adapter",
    "",
    "| | |",
    "|---|---|",
    ...rows.map(([name, value]) => `| ${name} | ${cell(value!)} |`),
    "",
    ...command === undefined ? [] : ["Made with:", "", "```", command.replaceAll("```", "'''"), "```", ""],
    ...type === undefined
      ? ["Load it with `loadAdapter(folder, model)` of @graft/peft; no other program has this form."]
      : [
        "Load it in TypeScript with `loadAdapter(folder, model)` of @graft/peft, in Python with",
        "`PeftModel.from_pretrained(base, folder)`.",
      ],
    "",
  ].join("\n");
}

const grouped = (n: number): string => n.toLocaleString("en-US");

const cell = (text: string): string => text.replaceAll("|", "\\|").replace(/\s+/g, " ");
