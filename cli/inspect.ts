/** `graft inspect`: describes the content of a folder or file without loading it. */
import {
  type AdapterDescription,
  type Contents,
  type Description,
  inspectPath,
  type ModelDescription,
} from "../io/inspect.ts";
import type { Command } from "./terminal/arguments.ts";
import { print, printJson, showBytes, showCount, table } from "./terminal/output.ts";

/** Registers the command. */
export function inspect(program: Command): void {
  program.command("inspect")
    .description("Show what a model, an adapter or a weight file holds; reads headers only")
    .argument("<path>", "folder, .gguf or .safetensors file")
    .option("--json", "print JSON")
    .addHelpText("after", "\nExample:\n  graft inspect my-adapter")
    .action(async (path: string, { json }: { readonly json?: true }) => {
      const description = await inspectPath(path);
      if (json) printJson({ path, ...description });
      else print(textOf(path, description));
    });
}

function textOf(path: string, description: Description): string {
  switch (description.kind) {
    case "model":
      return [`${path}: a model`, facts(modelFacts(description)), dtypesOf(description)].join("\n\n");
    case "adapter":
      return adapterText(path, description);
    case "adapters":
      return description.adapters.map((each) => adapterText(`${path}/${each.name ?? ""}`, each)).join("\n\n");
    case "tensors": {
      const metadata = Object.entries(description.metadata).map(([k, v]) => [k, String(v)] as const);
      const names = description.names.slice(0, 12);
      const more = description.names.length - names.length;
      return [
        `${path}: tensors without a model`,
        facts([...total(description), ...metadata]),
        dtypesOf(description),
        [...names, ...more > 0 ? [`and ${more} more`] : []].map((name) => `  ${name}`).join("\n"),
      ].join("\n\n");
    }
    default:
      return description satisfies never;
  }
}

type Fact = readonly [name: string, value: string | undefined];

function modelFacts(m: ModelDescription): readonly Fact[] {
  const number = (n: number | undefined): string | undefined => n === undefined ? undefined : showCount(n);
  const heads = m.keyValueHeads === undefined || m.keyValueHeads === m.heads
    ? number(m.heads)
    : `${m.heads}, ${m.keyValueHeads} for keys and values`;
  return [
    ["format", m.format === "gguf" ? "GGUF" : "Hugging Face folder"],
    ["architecture", m.architecture],
    ["cannot be run", m.refused],
    ...total(m),
    ["layers", number(m.layers)],
    ["width", number(m.width)],
    ["heads", heads],
    ["vocabulary", number(m.vocabulary)],
    ["context", m.context === undefined ? undefined : `${showCount(m.context)} tokens`],
    ["head", m.tiedHead ? "tied to the embedding" : "its own matrix"],
    ["quantization", m.quantization],
    [
      "tokenizer",
      m.tokenizer === undefined
        ? "none"
        : `${m.tokenizer.kind}, ${showCount(m.tokenizer.tokens)} tokens, ${
          m.tokenizer.chatTemplate ? "with" : "without"
        } chat template`,
    ],
  ];
}

function adapterText(path: string, a: AdapterDescription): string {
  const names = { peft: "HF PEFT", adapters: "AdapterHub", gguf: "GGUF", graft: "graft" } as const;
  const options = Object.entries(a.options).map((
    [k, v],
  ): Fact => [k, typeof v === "string" ? v : JSON.stringify(v)]);
  const targets = typeof a.targets === "string" ? a.targets : a.targets?.join(", ");
  return [
    `${path}: an adapter`,
    facts([
      ["format", names[a.format]],
      ["method", a.method],
      ["base", a.base],
      ["targets", targets],
      ...total(a),
      ...options,
    ]),
    dtypesOf(a),
  ].join("\n\n");
}

function total(contents: Contents): readonly Fact[] {
  return [
    ["parameters", showCount(contents.parameters)],
    ["bytes", `${showCount(contents.bytes)} (${showBytes(contents.bytes)})`],
  ];
}

function facts(all: readonly Fact[]): string {
  const said = all.filter((fact): fact is readonly [string, string] => fact[1] !== undefined);
  const width = Math.max(...said.map(([name]) => name.length));
  return said.map(([name, value]) => `${name.padEnd(width)}  ${value}`).join("\n");
}

function dtypesOf({ dtypes }: Contents): string {
  return table([
    ["dtype", "tensors", "parameters", "bytes", "bits each"],
    ...dtypes.map((d) => [
      d.dtype,
      showCount(d.tensors),
      showCount(d.parameters),
      showBytes(d.bytes),
      (8 * d.bytes / Math.max(1, d.parameters)).toFixed(3),
    ]),
  ]);
}
