/** Pages of other origins: which may read answers, and the requests that ask so beforehand. */
import { Problem, problemResponse } from "./problem.ts";

/**
 * Answers the request of a page: a preflight request by itself, others by `answer`, to whose response the headers are added that
 * let a page of one of `origins` read it. Requests without an origin, which no page of another origin sends, are as before.
 *
 * @param origins "https://example.org", or "*" for every page.
 * @example
 * ```ts
 * import { withCors } from "@graft/peft/serve";
 * import assert from "node:assert/strict";
 * const request = new Request("http://localhost/health", { headers: { origin: "https://example.org" } });
 * const answer = () => Promise.resolve(new Response("ok"));
 * const { headers } = await withCors(["https://example.org"], request, answer);
 * assert.equal(headers.get("access-control-allow-origin"), "https://example.org");
 * ```
 */
export async function withCors(
  origins: readonly string[],
  request: Request,
  answer: () => Promise<Response>,
): Promise<Response> {
  const origin = request.headers.get("origin");
  if (origin === null || origins.length === 0) return await answer();
  const allowed = origins.includes("*") || origins.includes(origin);
  const asked = request.headers.get("access-control-request-method");
  if (request.method === "OPTIONS" && asked !== null) {
    if (!allowed) {
      return problemResponse(
        new Problem(`The server answers no page of ${origin}`, { status: 403, code: "origin_not_allowed" }),
      );
    }
    const headers = request.headers.get("access-control-request-headers");
    return new Response(null, {
      status: 204,
      headers: {
        ...granted(origin),
        "access-control-allow-methods": "GET, POST",
        ...headers !== null && { "access-control-allow-headers": headers },
        // Chrome asks before a public page may reach a private address.
        ...request.headers.get("access-control-request-private-network") === "true" &&
          { "access-control-allow-private-network": "true" },
        "access-control-max-age": "600",
      },
    });
  }
  const response = await answer();
  if (!allowed) return response;
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(granted(origin))) headers.set(name, value);
  return new Response(response.body, { status: response.status, headers });
}

const granted = (origin: string): Readonly<Record<string, string>> => ({
  "access-control-allow-origin": origin,
  "access-control-expose-headers": "retry-after",
  "vary": "origin",
});
