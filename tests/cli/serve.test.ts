/** `graft serve` as a user runs it: it says where it listens, needs the base's files no more, and stops well. */
import assert from "node:assert/strict";
import { runProgram } from "../../cli/terminal/arguments.ts";
import { graftProgram } from "../../cli/program.ts";
import { oneLine } from "../../cli/terminal/one_line.ts";
import { GOLDEN } from "../support/golden.ts";
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
    for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
      const parts = (rest + chunk).split("\n");
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
    ["--cors example.org", 2, /Expected an origin such as https:.* but found "example.org"/],
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

Deno.test("graft serve answers for its health, for pages and for short chats while it reads a long prompt", async () => {
  const origin = "https://example.org";
  const args = ["-m", "embedded", "--backend", "reference", "--cors", origin, "--rows", "2"];
  const server = await start(args);
  const prompt = "customer: my parcel is late and the box is torn. ".repeat(12);
  const asked = { model: "base", prompt, max_tokens: 1 };
  const begun = performance.now();
  const long = post(`${server.url}/completions`, asked).then(async (response) => {
    assert.equal(response.status, 200, await response.clone().text());
    await response.text();
    return performance.now() - begun;
  });
  let done = false;
  void long.then(() => done = true);
  const waits: number[] = [];
  let most = 0;
  for (; !done; await new Promise((resolve) => setTimeout(resolve, 10))) {
    const start = performance.now();
    const headers = { origin };
    const health = await fetch(server.url.replace("/v1", "/health"), { headers });
    assert.equal(health.headers.get("access-control-allow-origin"), origin);
    most = Math.max(most, (await health.json()).writing);
    waits.push(performance.now() - start);
  }
  const seconds = await long / 1000;
  assert.equal(most, 1, "the text is counted while its prompt is read");
  assert.ok(waits.length > 20, `${waits.length} answers in ${seconds} s`);
  assert.ok(Math.max(...waits) < seconds * 1000 / 3, `${Math.max(...waits)} ms of ${seconds} s`);
  server.child.kill("SIGINT");
  assert.equal((await server.child.status).code, 0, await server.said);
});

Deno.test("graft serve draws as generation_config.json says, and a client that leaves frees its place", async () => {
  using folder = temporaryFolder();
  const model = tinyModel(folder.path);
  const config = { do_sample: true, temperature: 1.9, top_k: 30 };
  Deno.writeTextFileSync(`${model}/generation_config.json`, JSON.stringify(config));
  const server = await start(["-m", model, "--backend", "reference", "--rows", "1", "--max-tokens", "7"]);
  const chat = async (more: object): Promise<{ text: string; tokens: number }> => {
    const messages = [{ role: "user", content: "cat" }];
    const answer = await post(`${server.url}/chat/completions`, {
      model: "base",
      messages,
      seed: 3,
      ...more,
    });
    const { choices, usage } = await answer.json();
    return { text: choices[0].message.content, tokens: usage.completion_tokens };
  };
  const { text, tokens } = await chat({});
  assert.ok(tokens <= 7, "--max-tokens bounds what no request bounds");
  assert.equal((await chat({ temperature: 1.9, top_k: 30, max_tokens: 7 })).text, text);
  assert.notEqual((await chat({ temperature: 0 })).text, text);
  const leaving = new AbortController();
  const headers = { "content-type": "application/json" };
  const body = JSON.stringify({ model: "base", prompt: Array(40).fill("a"), max_tokens: 60, stream: true });
  const stream = await fetch(`${server.url}/completions`, {
    ...{ method: "POST", headers, body, signal: leaving.signal },
  });
  await stream.body!.getReader().read();
  leaving.abort();
  const health = async () => await (await fetch(server.url.replace("/v1", "/health"))).json();
  let now = await health();
  for (let i = 0; i < 100 && now.waiting + now.writing > 0; i++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    now = await health();
  }
  assert.deepEqual(now, { status: "ok", waiting: 0, writing: 0 });
  server.child.kill("SIGINT");
  assert.equal((await server.child.status).code, 0, await server.said);
});

Deno.test("graft serve answers vectors of an encoder and its adapter, as graft embed makes them, and writes no text", async () => {
  using folder = temporaryFolder();
  const model = `${GOLDEN}sentence_transformers_folders/bert`;
  const [data, adapter] = [`${folder.path}/pairs.csv`, `${folder.path}/near`];
  Deno.writeTextFileSync(data, "anchor,positive\ntea,red tea\nmap,the map\n");
  const trained = await graft([
    ...[
      "finetune",
      "-m",
      model,
      "-d",
      data,
      "-o",
      adapter,
      "--objective",
      "ranking",
      "--backend",
      "reference",
    ],
    ...["--learning-rate", "0.05", "--max-steps", "2", "--accumulate", "1", "--held-out", "0"],
  ]);
  assert.equal(trained.code, 0, trained.err);
  const embedded = async (more: readonly string[]): Promise<readonly number[]> => {
    const { out, code, err } = await graft([
      "embed",
      "-m",
      model,
      ...more,
      "--text",
      "red tea",
      "--backend",
      "reference",
    ]);
    assert.equal(code, 0, err);
    return JSON.parse(out).embedding;
  };
  const expected = { bert: await embedded([]), near: await embedded(["-a", adapter]) };
  assert.notDeepEqual(expected.bert, expected.near);
  const server = await start(["-m", model, "-a", adapter, "--backend", "reference"]);
  try {
    assert.deepEqual(server.models, ["bert", "near"]);
    for (const [name, vector] of Object.entries(expected)) {
      const found = await (await post(`${server.url}/embeddings`, { model: name, input: "red tea" })).json();
      assert.deepEqual(found.data[0].embedding, vector, name);
    }
    for (
      const [path, body] of [["completions", { prompt: "tea" }], ["chat/completions", {
        messages: [{ role: "user", content: "tea" }],
      }]] as const
    ) {
      const refused = await post(`${server.url}/${path}`, { model: "bert", ...body });
      assert.equal(refused.status, 404);
      assert.match(
        (await refused.json()).error.message,
        /Cannot write with bert: this server makes vectors, at \/v1\/embeddings/,
      );
    }
    const health = await (await fetch(server.url.replace("/v1", "/health"))).json();
    assert.deepEqual(health, { status: "ok", waiting: 0, writing: 0 });
  } finally {
    server.child.kill("SIGINT");
    assert.equal((await server.child.status).code, 0, await server.said);
  }
});
