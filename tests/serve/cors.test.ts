/** Pages of other origins, as a browser asks for them: the Fetch standard's preflight and headers. */
import assert from "node:assert/strict";
import { withCors } from "../../serve/cors.ts";

const PAGE = "https://example.org";
const answer = (): Promise<Response> => Promise.resolve(Response.json({ a: 1 }, { status: 201 }));
const asking = (method: string, headers: Readonly<Record<string, string>>): Request =>
  new Request("http://localhost/v1/models", { method, headers });
const preflight = (origin: string, more: Readonly<Record<string, string>> = {}): Request =>
  asking("OPTIONS", { origin, "access-control-request-method": "POST", ...more });
const unasked = (): Promise<Response> => Promise.reject(new Error("a preflight request is not answered"));

Deno.test("a page of a named origin may ask and read, and is answered by its own name", async () => {
  for (const origins of [[PAGE], ["https://other.org", PAGE], ["*"]]) {
    const before = await withCors(
      origins,
      preflight(PAGE, { "access-control-request-headers": "content-type,x-stainless-os" }),
      unasked,
    );
    assert.equal(before.status, 204);
    assert.equal(before.headers.get("access-control-allow-origin"), PAGE);
    assert.equal(before.headers.get("access-control-allow-headers"), "content-type,x-stainless-os");
    assert.match(before.headers.get("access-control-allow-methods")!, /POST/);
    const after = await withCors(origins, asking("GET", { origin: PAGE }), answer);
    assert.equal(after.status, 201);
    assert.deepEqual(await after.json(), { a: 1 });
    assert.equal(after.headers.get("access-control-allow-origin"), PAGE);
    assert.equal(after.headers.get("vary"), "origin", "caches keep answers to different pages apart");
    assert.match(after.headers.get("content-type")!, /json/);
  }
});

Deno.test("pages of other origins are refused beforehand, and get no header that lets them read", async () => {
  for (const origin of ["https://example.org.evil.org", "http://example.org", "null"]) {
    const before = await withCors([PAGE], preflight(origin), unasked);
    assert.equal(before.status, 403);
    assert.equal(before.headers.get("access-control-allow-origin"), null);
    const after = await withCors([PAGE], asking("GET", { origin }), answer);
    assert.equal(after.headers.get("access-control-allow-origin"), null);
  }
});

Deno.test("without origins, and without a page, answers are as they were", async () => {
  for (const [origins, request] of [[[], preflight(PAGE)], [[PAGE], asking("GET", {})]] as const) {
    const response = await withCors(origins, request, answer);
    assert.equal(response.status, 201);
    assert.equal(response.headers.get("access-control-allow-origin"), null);
  }
});

Deno.test("a public page may reach a private address where it asks for that", async () => {
  const asked = { "access-control-request-private-network": "true" };
  const { headers } = await withCors([PAGE], preflight(PAGE, asked), unasked);
  assert.equal(headers.get("access-control-allow-private-network"), "true");
  const other = await withCors([PAGE], preflight(PAGE), unasked);
  assert.equal(other.headers.get("access-control-allow-private-network"), null);
});
