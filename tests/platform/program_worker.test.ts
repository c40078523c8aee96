/** Workers of a program, and the port at their other end. */
import assert from "node:assert/strict";
import { startProgram, type WebWorker, workerPort } from "../../platform/program_worker.ts";

const module = new URL("../../platform/program_worker.ts", import.meta.url).href;
const echoing = `
  import { workerPort } from ${JSON.stringify(module)};
  const port = workerPort();
  port.listen((message) => port.post({ heard: message }));
  port.post("ready");
`;
const program = new URL("data:text/javascript," + encodeURIComponent(echoing));

Deno.test("a main thread has no port", () => assert.equal(workerPort(), undefined));

Deno.test("a program answers by its port, whether by its address or started by the caller", async () => {
  for (const start of [program, (): WebWorker => new Worker(program, { type: "module" })]) {
    const heard: unknown[] = [];
    await new Promise<void>((done, failed) => {
      const worker = startProgram(start, (message) => {
        heard.push(message);
        if (message === "ready") return worker.post([1, "two"]);
        worker.end();
        done();
      }, failed);
    });
    assert.deepEqual(heard, ["ready", { heard: [1, "two"] }]);
  }
});

Deno.test("a program that throws, or is not there, says so", async () => {
  for (const code of ["throw new Error('broken')", "import 'file:///no/such/module.js'"]) {
    const error = await new Promise((failed) => {
      const worker = startProgram(
        new URL("data:text/javascript," + encodeURIComponent(code)),
        () => {},
        (error) => {
          worker.end();
          failed(error);
        },
      );
    });
    assert.match(String(error), /^Error: Cannot run the worker: ./);
  }
});
