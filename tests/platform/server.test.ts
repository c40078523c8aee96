/** The server of each runtime answers, says that a port is taken, and ends. */
import assert from "node:assert/strict";
import { type Address, isTaken, listenByDeno, listenByNode } from "../../platform/server.ts";

const HERE: Address = { host: "127.0.0.1", port: 0 };

for (const [name, listen] of Object.entries({ listenByDeno, listenByNode })) {
  Deno.test(`${name}() answers, streams, hides what throws, and ends`, async () => {
    const server = await listen(HERE, async (request) => {
      const { pathname } = new URL(request.url);
      if (pathname === "/thrown") throw new Error("a secret");
      if (pathname === "/stream") {
        return new Response(ReadableStream.from(["a", "b"]).pipeThrough(new TextEncoderStream()));
      }
      return Response.json({ said: await request.text(), method: request.method });
    });
    const at = `http://127.0.0.1:${server.port}`;
    const answer = await fetch(at, { method: "POST", body: "hello" });
    assert.deepEqual(await answer.json(), { said: "hello", method: "POST" });
    assert.equal(await (await fetch(`${at}/stream`)).text(), "ab");
    const thrown = await fetch(`${at}/thrown`);
    assert.equal(thrown.status, 500);
    assert.equal(await thrown.text(), "");
    await assert.rejects(
      async () => await listen({ ...HERE, port: server.port }, () => Promise.resolve(new Response())),
      (error) => isTaken(error),
    );
    await server.shutdown();
    await server.finished;
  });
}
