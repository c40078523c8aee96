/**
 * `deno task new-method FAMILY NAME`: the three files of a new method: itself, its test with its entry in the laws, and the script
 * of its golden case. The generated method works and passes its tests: a gain for each output of every linear layer. Change the
 * formula in all three, then the laws' entry, and run `deno task index`.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

/** The spellings of a method's name. */
export interface MethodNames {
  /** "my-method", as people write it. */
  readonly name: string;
  /** "my_method", of files. */
  readonly file: string;
  /** "myMethod", of the factory. */
  readonly factory: string;
  /** "MyMethod", of types. */
  readonly type: string;
}

/** The rooms of methods, as docs/methods names them. */
export const FAMILIES = [
  "low_rank",
  "structured",
  "adapters",
  "soft_prompts",
  "rescaling",
  "selective",
  "side_networks",
  "hybrids",
] as const;

/** One of them. */
export type Family = typeof FAMILIES[number];

/** Reserved words, which cannot be function names. */
const RESERVED =
  ("arguments await break case catch class const continue debugger default delete do else enum eval export extends false " +
    "finally for function if implements import in instanceof interface let new null package private protected public " +
    "return static super switch this throw true try typeof undefined var void while with yield").split(" ");

/**
 * The spellings of "my-method".
 *
 * @throws {SyntaxError} when the name is not lower case words joined by hyphens, or a reserved word.
 */
export function methodNames(name: string): MethodNames {
  if (RESERVED.includes(name)) {
    throw new SyntaxError(`"${name}" is a word of TypeScript: choose another name`);
  }
  if (!/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(name)) {
    throw new SyntaxError(
      `Expected lower case words joined by hyphens, such as my-method, but found "${name}"`,
    );
  }
  const words = name.split("-");
  const type = words.map((word) => word[0]!.toUpperCase() + word.slice(1)).join("");
  return { name, file: words.join("_"), factory: type[0]!.toLowerCase() + type.slice(1), type };
}

/** The method's file. */
function methodText({ name, factory, type }: MethodNames): string {
  return `/**
 * TODO name. TODO authors and year, "TODO title", arXiv TODO, section TODO.
 *
 *   y = g ⊙ (W x + b)        g [out], ones at first
 *
 * TODO where this departs from the authors' code, and in which of its files.
 */
import type { DefinedMethod, TargetOptions, Tensor } from "../../core/mod.ts";
import { defineLinear } from "../shared/define_linear.ts";
import { ones } from "../shared/initial.ts";

/** Options. */
export type ${type}Options = TargetOptions;

/**
 * TODO what it is, in a sentence. Parameters: one vector per layer under its path, \`….q_proj.g\` [out].
 *
 * @throws {RangeError} when targets match nothing.
 * @example
 * \`\`\`ts
 * import { ${factory} } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(${factory}().name, "${name}");
 * \`\`\`
 */
export const ${factory}: DefinedMethod<${type}Options> = defineLinear<${type}Options, { readonly g: Tensor }>({
  name: "${name}",
  summary: "TODO what it does, in one sentence of at most 90 characters.",
  options: {},
  params: ({ outFeatures }) => ({ g: ones([outFeatures]) }),
  change: ({ g }) => ({ form: "scale", out: g }),
  cli: { rate: 1e-3, flags: ["targets"] },
  published: { setting: "TODO the setting of its literature" },
});
`;
}

/** Its test's file. */
function testText(family: Family, { file, factory }: MethodNames): string {
  return `/** ${factory} obeys the laws of methods. */
import { chooseTargets, sizesOf } from "../../../core/mod.ts";
import { ${factory} } from "../../../methods/${family}/${file}.ts";
import { methodLaws } from "../../support/method_laws.ts";

methodLaws("${factory}()", {
  method: () => ({ method: ${factory}({ targets: "all-linear" }) }),
  // Whether a fresh adapter leaves the model as it is, and whether weights can hold a trained one.
  atInit: "base",
  merges: "and unmerges",
  // The paper's formula.
  counts: ({ spec }) => {
    const n = chooseTargets(spec, { targets: "all-linear" })
      .reduce((sum, place) => sum + sizesOf(place).outFeatures, 0);
    return { added: n, trainable: n };
  },
});

// TODO run tests/oracles/${file}.py with its own formula, then, from tests/support/golden_case.ts and golden_method.ts:
// goldenMethods({ ${file}: ${factory}({ targets: TARGETS }) });
// TODO counts that the paper prints (tests/support/published_counts.ts), and what is refused (tests/support/bad_options.ts).
`;
}

/** The script of its golden case. */
function oracleText({ name, file, type }: MethodNames): string {
  return `"""The golden case of ${name} on the tiny Llama of llama_lora.py: TODO which equation, or which library's class.

TODO with what versions it was made, as in requirements.txt. Run from the repository root:
    python tests/oracles/${file}.py
Writes tests/oracles/golden/${file}/${file}.safetensors as reparam.py does.
"""
import json, os
import torch
from safetensors.torch import save_file
from torch import nn
from transformers import LlamaForCausalLM

GOLDEN = "tests/oracles/golden"
BATCH = json.load(open(f"{GOLDEN}/llama_lora/batch.json"))
TARGETS = ["q_proj", "v_proj", "down_proj"]


class ${type}(nn.Module):
    """TODO the formula, with parameters named as ours; noise, so that no gradient vanishes."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        self.g = nn.Parameter(1 + torch.randn(layer.out_features) * 0.2)

    def forward(self, x):
        return self.g * self.layer(x)

    def merged(self):
        layer = nn.Linear(self.layer.in_features, self.layer.out_features, bias=False)
        layer.weight = nn.Parameter(self.g[:, None] * self.layer.weight)
        return layer


def run(m):
    ids, mask, wanted = (torch.tensor(BATCH[k]) for k in ["inputIds", "attentionMask", "labels"])
    return m(input_ids=ids, attention_mask=mask, labels=wanted)


def replace(m, kind, by):
    """Puts by(layer) in the place of each layer of a kind."""
    for path, layer in list(m.named_modules()):
        if path.rsplit(".", 1)[-1] in TARGETS and isinstance(layer, kind):
            m.set_submodule(path, by(layer))
    return m


torch.manual_seed(11)
m = LlamaForCausalLM.from_pretrained(f"{GOLDEN}/llama_lora/base", dtype=torch.float32, attn_implementation="eager")
replace(m.eval().requires_grad_(False), nn.Linear, ${type})
params = {path: p for path, p in m.named_parameters() if p.requires_grad}
out = run(m)
grads = torch.autograd.grad(out.loss, list(params.values()))
tensors = {"logits": out.logits, "loss": out.loss.reshape(1)}
for (path, p), g in zip(params.items(), grads):
    tensors[f"param.{path}"], tensors[f"grad.{path}"] = p.detach().clone(), g
optimizer = torch.optim.AdamW(list(params.values()), lr=1e-2, weight_decay=0.01)
for _ in range(3):
    optimizer.zero_grad()
    run(m).loss.backward()
    optimizer.step()
tensors |= {f"step.{path}": p.detach().clone() for path, p in params.items()}
with torch.no_grad():
    for path, p in params.items():
        p.copy_(tensors[f"param.{path}"])
    tensors["merged"] = run(replace(m, ${type}, lambda layer: layer.merged())).logits
os.makedirs(f"{GOLDEN}/${file}", exist_ok=True)
save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, f"{GOLDEN}/${file}/${file}.safetensors")
print("${name}", float(out.loss.detach()))
`;
}

/** Rooms whose exports meet in the project's `mod.ts`. */
const ROOMS = ["tensor", "core", "formats", "io", "methods", "models", "ops", "recipes", "train"];

/** The file that already exports a name of the method. */
function exporterOf({ factory, type }: MethodNames, root: string): string | undefined {
  const exported = new RegExp(
    `^export (?:async )?(?:function|const|class|interface|type) (?:${factory}|${type}Options)\\b`,
    "m",
  );
  const files = ROOMS.flatMap((room) =>
    readdirSync(`${root}/${room}`, { recursive: true, encoding: "utf8" })
      .filter((path) => path.endsWith(".ts")).map((path) => `${room}/${path}`)
  );
  return files.find((path) => exported.test(readFileSync(`${root}/${path}`, "utf8")));
}

/**
 * Writes the files below a project's root.
 *
 * @returns The written and changed files.
 * @throws {RangeError} when one of them exists, or the name is already exported; then nothing is written.
 */
export function newMethod(family: Family, name: string, root: string): readonly string[] {
  const names = methodNames(name);
  const [method, test, oracle] = [
    `methods/${family}/${names.file}.ts`,
    `tests/methods/${family}/${names.file}.test.ts`,
    `tests/oracles/${names.file}.py`,
  ] as const;
  const there = [method, test, oracle].find((path) => existsSync(`${root}/${path}`));
  if (there !== undefined) throw new RangeError(`${there} exists already: choose another name`);
  const exporter = exporterOf(names, root);
  if (exporter !== undefined) {
    throw new RangeError(`${exporter} exports ${names.factory} or ${names.type}Options: choose another name`);
  }
  for (const path of [method, test, oracle]) mkdirSync(dirname(`${root}/${path}`), { recursive: true });
  writeFileSync(`${root}/${method}`, methodText(names));
  writeFileSync(`${root}/${test}`, testText(family, names));
  writeFileSync(`${root}/${oracle}`, oracleText(names));
  return [method, test, oracle];
}

if (import.meta.main) {
  const [given, name, ...more] = Deno.args;
  const family = FAMILIES.find((known) => known === given);
  if (family === undefined || name === undefined || more.length > 0) {
    console.error(`Usage: deno task new-method FAMILY my-method\nFAMILY is one of ${FAMILIES.join(", ")}`);
    Deno.exit(2);
  }
  try {
    const paths = newMethod(family, name, fileURLToPath(new URL("..", import.meta.url)).replace(/\/$/, ""));
    console.log(`Wrote ${paths.join(", ")}. Next: deno task index, then deno test -A ${paths[1]}`);
  } catch (error) {
    console.error(`new-method: ${(error as Error).message}`);
    Deno.exit(1);
  }
}
