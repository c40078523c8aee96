/** `graft serve` as a user runs it: it says where it listens, needs the base's files no more, and stops well. */
import assert from "node:assert/strict";
import { runProgram } from "../../cli/terminal/arguments.ts";
import { graftProgram } from "../../cli/program.ts";
import { oneLine } from "../../cli/terminal/one_line.ts";
import { graft, graftArguments, temporaryFolder, tinyData, tinyModel } from "./tiny.ts";

/** A running server. */
interface Server {
  readonly url: string;
  readonly models: readonly string[];
  readonly child: Deno.ChildProcess;
  /** Lines of standard output so far, the first one left out. */
  readonly lines: string[];
  /** What standard error said. */
  readonly said: Promise<string>;
}

async function start(args: readonly string[]): Promise<Server> {
  const child = new Deno.Command(Deno.execPath(), {
    args: graftArguments(["serve", "--port", "0", "--json", ...args]),
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const said = new Response(child.stderr).text();
  const lines: string[] = [];
  const first = Promise.withResolvers<string>();
  (async () => {
    let rest = "";
    for await (const piece of child.stdout.pipeThrough(new TextDecoderStream())) {
      const parts = (rest + piece).split("\n");
      rest = parts.pop()!;
      lines.push(...parts);
      if (lines.length > 0) first.resolve(lines[0]!);
    }
    first.reject(new Error(await said));
  })();
  const { url, models } = JSON.parse(await first.promise);
  return { url, models, child, lines, said };
}

const post = (url: string, body: unknown): Promise<Response> =>
  fetch(url, { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" } });

async function trainedAdapter(folder: string, model: string, name: string, rank: number): Promise<string> {
  const output = `${folder}/${name}`;
  const trained = await graft([
    ...["finetune", "-m", model, "-d", tinyData(folder), "-o", output, "--backend", "reference"],
    ...["--rank", String(rank), "--learning-rate", "0.05", "--max-steps", "4", "--held-out", "0"],
  ]);
  assert.equal(trained.code, 0, trained.err);
  return output;
}

Deno.test("graft serve changes adapters without the base's files, finishes what is written and ends with code 0", async () => {
  using folder = temporaryFolder();
  const model = tinyModel(folder.path);
  const [one, two] = [
    await trainedAdapter(folder.path, model, "one", 2),
    await trainedAdapter(folder.path, model, "two", 4),
  ];
  const alone = async (adapter: readonly string[]): Promise<string> => {
    const args = ["generate", "-m", model, ...adapter, "--prompt", "cat and dog:", "--max-new-tokens", "12"];
    const { out, code, err } = await graft([...args, "--backend", "reference", "--json"]);
    assert.equal(code, 0, err);
    return JSON.parse(out).text;
  };
  const expected = { tiny: await alone([]), one: await alone(["-a", one]), b: await alone(["-a", two]) };
  const args = ["-m", model, "--name", "tiny", "-a", one, "-a", `b=${two}`, "--backend", "reference"];
  const server = await start(args);
  Deno.removeSync(model, { recursive: true });
  for (const adapter of [one, two]) Deno.removeSync(adapter, { recursive: true });
  assert.deepEqual(server.models, ["tiny", "one", "b"]);
  const ask = async (name: string): Promise<string> => {
    const answer = await post(`${server.url}/completions`, {
      ...{ model: name, prompt: "cat and dog:", max_tokens: 12, temperature: 0 },
    });
    return (await answer.json()).choices[0].text;
  };
  const names = ["tiny", "b", "one", "b", "tiny", "one"] as const;
  assert.deepEqual(await Promise.all(names.map(ask)), names.map((name) => expected[name]));

  const long = await post(`${server.url}/completions`, {
    ...{ model: "one", prompt: "a", max_tokens: 60, temperature: 1.9, stream: true, seed: 5 },
  });
  const reader = long.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = (await reader.read()).value!;
  server.child.kill("SIGINT");
  for (let part = await reader.read(); !part.done; part = await reader.read()) text += part.value;
  assert.match(text, /"finish_reason":"(stop|length)"[^\n]*\n\ndata: \[DONE\]\n\n$/, "the text is finished");
  assert.equal((await server.child.status).code, 0, await server.said);
  assert.deepEqual(JSON.parse(server.lines[1]!).status, 200);
});

Deno.test("graft serve ends at once at a second Ctrl-C", async () => {
  using folder = temporaryFolder();
  const server = await start(["-m", tinyModel(folder.path), "--backend", "reference"]);
  assert.deepEqual(server.models, ["model"]);
  const prompts = Array.from({ length: 40 }, () => "a");
  const long = await post(`${server.url}/completions`, {
    ...{ model: "base", prompt: prompts, max_tokens: 60, temperature: 1.9, stream: true },
  });
  const reader = long.body!.getReader();
  await reader.read();
  server.child.kill("SIGINT");
  const seen = async (): Promise<void> => {
    for (;;) {
      const health = await fetch(server.url.replace("/v1", "/health")).catch(() => undefined);
      if (health === undefined || (await health.json()).status === "stopping") return;
    }
  };
  await seen();
  server.child.kill("SIGINT");
  assert.equal((await server.child.status).code, 130);
  assert.match(await server.said, /Finishing \d+ texts; Ctrl-C again ends at once/);
  await reader.cancel().catch(() => {});
});

Deno.test("graft serve says what is wrong with its arguments, its port and its model", async () => {
  using folder = temporaryFolder();
  const model = tinyModel(folder.path);
  const run = async (args: readonly string[]) => {
    let said = "";
    const code = await runProgram(graftProgram(), ["serve", ...args], (error) => said = oneLine(error));
    return { code, said };
  };
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const cases: readonly (readonly [args: string, code: number, complaint: RegExp])[] = [
    ["--port 70000", 2, /Expected a port up to 65535 but found 70000/],
    ["--rows 0", 2, /Expected an integer from 1 but found "0"/],
    ["--queue -1", 2, /Expected an integer from 0/],
    ["--adapter x=", 2, /Expected <name>=<folder>.* but found "x="/],
    ["--adapter a:b=c", 2, /without spaces, ":" and "\/", but found "a:b=c"/],
    ["--adapter a=x --adapter b/a", 2, /Two models would be called "a": give --adapter another name/],
    [`-m ${model} --adapter base=x`, 2, /Two models would be called "base"/],
    [`-m ${model} --backend reference --max-length 65`, 2, /--max-length of at most 64/],
    [`-m ${model} --backend reference --adapter none=${folder.path}/none`, 1, /there is no such folder/],
    [`-m ${folder.path}/nothing`, 1, /there is no such file or folder/],
    [
      `-m ${model} --backend reference --port ${taken.addr.port}`,
      1,
      /Cannot listen on 127\.0\.0\.1:\d+: the port is taken; choose another with --port/,
    ],
  ];
  for (const [line, expected, complaint] of cases) {
    const { code, said } = await run(line.split(" "));
    assert.match(said, complaint, line);
    assert.match(said, /^graft: [^\n]+$/, line);
    assert.equal(code, expected, said);
  }
});
