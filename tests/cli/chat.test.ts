/** `graft chat` over a pipe: the same words as `generate --chat`, what was said before, adapters by name, a full context. */
import assert from "node:assert/strict";
import { graft, graftArguments, temporaryFolder, tinyData, tinyModel } from "./tiny.ts";

async function chat(args: readonly string[], lines: readonly string[]) {
  const child = new Deno.Command(Deno.execPath(), {
    args: graftArguments(["chat", "--backend", "reference", "--max-new-tokens", "5", ...args]),
    ...{ stdin: "piped", stdout: "piped", stderr: "piped" },
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(lines.map((line) => `${line}\n`).join("")));
  await writer.close();
  const { code, stdout, stderr } = await child.output();
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  return { code, out: out!, err: err! };
}

Deno.test("graft chat answers as generate --chat does, by the adapter that was chosen, and remembers", async () => {
  using folder = temporaryFolder();
  const [model, data] = [tinyModel(folder.path), tinyData(folder.path)];
  const adapter = `${folder.path}/tuned`;
  const fast = ["--learning-rate", "0.3", "--max-steps", "8", "--backend", "reference", "--held-out", "0"];
  const tuned = await graft(["finetune", "-m", model, "-d", data, "-o", adapter, ...fast]);
  assert.equal(tuned.code, 0, tuned.err);
  const alone = async (...more: readonly string[]): Promise<string> => {
    const args = ["generate", "-m", model, "--chat", "-p", "cat and dog", "--max-new-tokens", "5", ...more];
    const { code, out, err } = await graft([...args, "--backend", "reference"]);
    assert.equal(code, 0, err);
    return out;
  };
  const [plain, by] = [await alone(), await alone("-a", adapter)];
  assert.notEqual(plain, by);
  const said = await chat(["-m", model, "-a", `mine=${adapter}`], [
    "cat and dog",
    "/new",
    "/adapter none",
    "cat and dog",
    "/adapter yours",
    "/nonsense",
    "/new",
    "/adapter mine",
    "cat and dog",
    "/quit",
    "cat and dog",
  ]);
  assert.equal(said.code, 0, said.err);
  assert.equal(said.out, `${by}${plain}${by}`);
  assert.match(said.err, /There is no adapter "yours": there are none, mine\n/);
  assert.match(said.err, /There is no "\/nonsense"/);
  // What was said before is part of the prompt: the context of 64 letters holds two questions, not three.
  const long = await chat(["-m", model], [
    "cat and dog",
    "sun and sea and map",
    "tea and cat and dog and sun",
  ]);
  assert.equal(long.code, 0, long.err);
  assert.match(long.err, /its oldest exchange is forgotten/);
  assert.ok(long.out.startsWith(plain));
});
