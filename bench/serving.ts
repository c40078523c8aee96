/**
 * `deno task bench:serving -m MODEL [serve's flags]`: what `graft serve` is like for others while it reads a chat of some 3,000
 * tokens: how long /health takes, when a short chat gets its first token, and at what rate it goes on.
 *
 * @module
 */
const LONG = 3031;
const ROWS = { long: 8, short: 48 } as const;

/** A streamed chat: when each chunk came, in milliseconds since it was asked for, and the prompt's tokens. */
async function chat(url: string, content: string, max_tokens: number): Promise<{
  readonly start: number;
  readonly times: readonly number[];
  readonly tokens: number;
}> {
  const start = performance.now();
  const body = JSON.stringify({
    ...{ model: "base", messages: [{ role: "user", content }], max_tokens, temperature: 1, seed: 1 },
    ...{ stream: true, stream_options: { include_usage: true } },
  });
  const headers = { "content-type": "application/json" };
  const response = await fetch(`${url}/chat/completions`, { method: "POST", headers, body });
  if (!response.ok) throw new Error(await response.text());
  const times: number[] = [];
  let [rest, tokens] = ["", 0];
  for await (const text of response.body!.pipeThrough(new TextDecoderStream())) {
    const events = (rest + text).split("\n\n");
    rest = events.pop()!;
    for (const event of events.filter((event) => event.startsWith("data: {"))) {
      const { choices, usage } = JSON.parse(event.slice(6));
      if (choices[0]?.delta.content) times.push(performance.now() - start);
      tokens = usage?.prompt_tokens ?? tokens;
    }
  }
  return { start, times, tokens };
}

/** A text whose chat has about `tokens` tokens. */
async function textOf(url: string, tokens: number): Promise<string> {
  const words = "The parcel of the customer arrived late and the agent asked where it had been all week"
    .split(
      " ",
    );
  const of = (n: number): string =>
    Array.from({ length: n }, (_, i) => words[(i * 7) % words.length]).join(" ");
  const count = async (n: number): Promise<number> => (await chat(url, of(n), 1)).tokens;
  const [few, more] = [await count(20), await count(120)];
  return of(Math.round(20 + (tokens - few) * 100 / (more - few)));
}

const quantile = (values: readonly number[], share: number): number =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))]!;

/** Tokens a second between the first and the last of some times. */
const rate = (times: readonly number[]): number => (times.length - 1) / (times.at(-1)! - times[0]!) * 1000;

const main = new URL("../cli/main.ts", import.meta.url).pathname;
const server = new Deno.Command(Deno.execPath(), {
  args: ["run", "-A", "--quiet", main, "serve", "--port", "0", "--json", ...Deno.args],
  stdout: "piped",
}).spawn();
const lines = server.stdout.pipeThrough(new TextDecoderStream()).getReader();
const { url } = JSON.parse((await lines.read()).value!.split("\n")[0]!);
void (async () => {
  while (!(await lines.read()).done); // the log
})();
const wait = (milliseconds: number): Promise<void> => new Promise((done) => setTimeout(done, milliseconds));

const long = await textOf(url, LONG);
const short = "Where is my parcel?";
await chat(url, short, ROWS.short);
const alone = await chat(url, short, ROWS.short);

let reading = true;
const health: number[] = [];
const watch = (async () => {
  while (reading) {
    const start = performance.now();
    await (await fetch(url.replace("/v1", "/health"))).text();
    health.push(performance.now() - start);
    await wait(20);
  }
})();
const begun = chat(url, long, ROWS.long);
await wait(500);
const beside = await chat(url, short, ROWS.short);
const read = await begun;
reading = false;
await watch;
const end = read.start + read.times[0]!; // the long prompt is read
const during = beside.times.filter((time) => beside.start + time < end);

console.log(JSON.stringify(
  {
    flags: Deno.args.join(" "),
    cpu: /model name\s*: (.*)/.exec(Deno.readTextFileSync("/proc/cpuinfo"))?.[1],
    cores: navigator.hardwareConcurrency,
    promptTokens: read.tokens,
    promptSeconds: read.times[0]! / 1000,
    healthMilliseconds: {
      median: quantile(health, 0.5),
      p99: quantile(health, 0.99),
      most: Math.max(...health),
      asked: health.length,
    },
    firstTokenMilliseconds: { alone: alone.times[0], beside: beside.times[0] },
    tokensPerSecond: { alone: rate(alone.times), beside: rate(during), during: during.length },
  },
  null,
  2,
));
server.kill("SIGINT");
await server.status;
