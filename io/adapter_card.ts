/** The README.md of an adapter folder, or of a model's: its base, its size, and how it was made. */

/** A card's information on how it was made. Undefined parts are omitted. */
export interface Making {
  /** SPDX id or a name such as "llama3". */
  readonly licence?: string;
  /** A hash of the training data. */
  readonly data?: string;
  /** The command that made it. */
  readonly command?: string;
}

/** Information on every card. */
interface Card extends Making {
  /** Hub id or folder of the base. */
  readonly base: string | undefined;
  readonly method: string;
  /** Number of trained parameters, and of the base's. */
  readonly trained: number;
  readonly ofBase: number;
}

/** Information on the card of an adapter. */
export interface AdapterCard extends Card {
  /** `peft_type` of the folder; undefined in graft's own format, which no other program reads. */
  readonly type?: string;
  /** Number of adapted layers, where the method changes layers. */
  readonly layers?: number;
}

/** Information on the card of a model whose own weights were trained. */
export type ModelCard = Card;

/**
 * The card as Markdown with the front matter that model hubs read.
 *
 * @example
 * ```ts ignore
 * adapterCard({ base: "org/base", method: "lora", type: "LORA", trained: 10, ofBase: 1000, layers: 2 });
 * ```
 */
export function adapterCard({ type, layers, ...card }: AdapterCard): string {
  return markdown(card, {
    title: "Adapter",
    matter: type === undefined ? [] : ["library_name: peft"],
    tag: type ?? card.method,
    method: type === undefined ? card.method : `${card.method} (PEFT type ${type})`,
    layers,
    load: type === undefined
      ? ["Load it with `loadAdapter(folder, model)` of @graft/peft; no other program has this form."]
      : [
        "Load it in TypeScript with `loadAdapter(folder, model)` of @graft/peft, in Python with",
        "`PeftModel.from_pretrained(base, folder)`.",
      ],
  });
}

/** The card of a model whose own weights were trained. */
export function modelCard(card: ModelCard): string {
  return markdown(card, {
    title: "Fine-tuned model",
    matter: ["base_model_relation: finetune", "library_name: transformers"],
    tag: card.method,
    method: card.method,
    layers: undefined,
    load: [
      "Load it in TypeScript with `loadModel(folder, { backend })` of @graft/peft, in Python with",
      "`AutoModel.from_pretrained(folder)` or the class for its task.",
    ],
  });
}

/** The differences between the two kinds of card. */
interface Form {
  readonly title: string;
  readonly matter: readonly string[];
  readonly tag: string;
  readonly method: string;
  readonly layers: number | undefined;
  readonly load: readonly string[];
}

function markdown({ base, licence, data, command, trained, ofBase }: Card, form: Form): string {
  const share = (100 * trained / ofBase).toPrecision(3);
  const rows = [
    ["Base", base ?? "not recorded"],
    ["Licence", licence ?? "not stated; the base's terms apply to what is made from it"],
    ["Method", form.method],
    ...form.layers === undefined ? [] : [["Adapted layers", String(form.layers)] as const],
    ["Trained parameters", `${grouped(trained)}, ${share} % of the base's ${grouped(ofBase)}`],
    ...data === undefined ? [] : [["Training data", data] as const],
  ];
  return [
    "---",
    ...base === undefined ? [] : [`base_model: ${JSON.stringify(base)}`],
    ...licence === undefined ? [] : [`license: ${JSON.stringify(licence)}`],
    ...form.matter,
    "tags:",
    "- graft",
    `- ${form.tag.toLowerCase()}`,
    "---",
    "",
    `# ${form.title}`,
    "",
    "| | |",
    "|---|---|",
    ...rows.map(([name, value]) => `| ${name} | ${cell(value!)} |`),
    "",
    ...command === undefined ? [] : ["Made with:", "", "```", command.replaceAll("```", "'''"), "```", ""],
    ...form.load,
    "",
  ].join("\n");
}

const grouped = (n: number): string => n.toLocaleString("en-US");

const cell = (text: string): string => text.replaceAll("|", "\\|").replace(/\s+/g, " ");
