/** Which signal ends a program how: asked of a process of its own. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";

const SOURCE = fileURLToPath(new URL("../../../cli/terminal/interrupt.ts", import.meta.url));

/** A program that listens, says each thing that it hears, and ends two seconds after the first. */
const LISTENING = `
import { interruptible } from ${JSON.stringify(`file://${SOURCE}`)};
using interrupt = interruptible(() => console.log("heard"));
console.log("ready");
while (!interrupt.wanted) await new Promise((done) => setTimeout(done, 5));
await new Promise((done) => setTimeout(done, 2000));
console.log("saved");`;

const STARTING = `
import { endsWhenWarned } from ${JSON.stringify(`file://${SOURCE}`)};
using _ = endsWhenWarned();
console.log("ready");
await new Promise((done) => setTimeout(done, 20000));`;

/** Sends signals, each when the one before is heard; exit code and what was said. */
async function after(program: string, signals: readonly Deno.Signal[]) {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["eval", "--quiet", program],
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  let said = "";
  let sent = 0;
  for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
    said += chunk;
    while (sent < signals.length && sent < said.split("\n").length - 1) {
      child.kill(signals[sent++]!);
      // Later signals are heard, but said no more.
      if (sent === 2) { for (; sent < signals.length; sent++) child.kill(signals[sent]!); }
    }
  }
  return { code: (await child.status).code, said };
}

const CASES: readonly (readonly [signals: readonly Deno.Signal[], code: number, said: string])[] = [
  [["SIGINT"], 0, "ready\nheard\nsaved\n"],
  [["SIGTERM"], 0, "ready\nheard\nsaved\n"],
  [["SIGUSR1"], 0, "ready\nheard\nsaved\n"],
  [["SIGINT", "SIGINT"], 130, "ready\nheard\n"],
  [["SIGTERM", "SIGINT"], 130, "ready\nheard\n"],
  // What a time limit sends: the warning, then SIGTERM. The checkpoint that the warning began is written.
  [["SIGUSR1", "SIGTERM"], 0, "ready\nheard\nsaved\n"],
  [["SIGUSR1", "SIGUSR1"], 0, "ready\nheard\nsaved\n"],
  [["SIGUSR1", "SIGTERM", "SIGINT"], 130, "ready\nheard\n"],
];

for (const [signals, code, said] of CASES) {
  Deno.test(`a program that saves at ${signals.join(", then ")} ends with ${code}`, async () => {
    assert.deepEqual(await after(LISTENING, signals), { code, said });
  });
}

Deno.test("a warning before there is anything to save ends a program as an interruption does", async () => {
  assert.deepEqual(await after(STARTING, ["SIGUSR1"]), { code: 130, said: "ready\n" });
});
