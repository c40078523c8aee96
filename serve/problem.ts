/** Errors of requests, in the form of OpenAI's interface. */

import { Cancelled, QueueFull } from "./refusals.ts";

/** OpenAI's kinds of errors. */
export type ProblemType = "invalid_request_error" | "rate_limit_error" | "server_error";

/** An error that is reported to the client. */
export class Problem extends Error {
  override readonly name = "Problem";
  readonly status: number;
  readonly type: ProblemType;
  /** Machine-readable kind of error. */
  readonly code: string | null;
  /** The invalid field. */
  readonly param: string | null;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    message: string,
    { status = 400, type = "invalid_request_error", code = null, param = null, headers = {} }: {
      readonly status?: number;
      readonly type?: ProblemType;
      readonly code?: string | null;
      readonly param?: string | null;
      readonly headers?: Readonly<Record<string, string>>;
    } = {},
  ) {
    super(message);
    [this.status, this.type, this.code, this.param, this.headers] = [status, type, code, param, headers];
  }
}

/** The body of an error. */
export function problemBody({ message, type, param, code }: Problem): unknown {
  return { error: { message, type, param, code } };
}

/** The response to a request that failed. */
export function problemResponse(problem: Problem): Response {
  return Response.json(problemBody(problem), { status: problem.status, headers: { ...problem.headers } });
}

/** The problem reported to a client for an error. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof QueueFull) {
    return new Problem(error.message, {
      status: 429,
      type: "rate_limit_error",
      code: "queue_full",
      headers: { "retry-after": "1" },
    });
  }
  if (error instanceof Cancelled) {
    return new Problem(error.message, { status: 503, type: "server_error", code: "cancelled" });
  }
  // Input that a model cannot read is the client's error.
  if (error instanceof RangeError) return new Problem(error.message, { code: "invalid_value" });
  return new Problem(error instanceof Error ? error.message : String(error), {
    status: 500,
    type: "server_error",
    code: "internal_error",
  });
}
