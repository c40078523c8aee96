/** POST /v1/embeddings: vectors of texts. */
import { encodeBase64 } from "./base64.ts";
import { type Fields, neutralField, textsField, wrong } from "./fields.ts";
import { Problem } from "./problem.ts";

/** Most texts of a request. */
const MOST = 2048;

/** Makes vectors. */
export interface VectorMaker {
  /** The vectors of texts under an adapter, or the bare base for null, and how many tokens they have. */
  embed(texts: readonly string[], adapter: string | null): Promise<{
    readonly vectors: readonly Float32Array[];
    readonly tokens: number;
  }>;
}

/** What a request asks for. */
export interface EmbeddingRequest {
  readonly model: string;
  readonly texts: readonly string[];
  readonly format: "float" | "base64";
}

/** Reads a request. @throws {Problem} naming the field that is invalid. */
export function parseEmbeddingRequest(body: Fields): EmbeddingRequest {
  const { model, encoding_format: format = "float" } = body;
  if (typeof model !== "string" || model === "") throw wrong("model", "the name of a model", model);
  if (format !== "float" && format !== "base64") {
    throw wrong("encoding_format", '"float" or "base64"', format);
  }
  neutralField(body, "dimensions", () => false);
  const texts = textsField(body, "input", MOST);
  if (texts.length === 0) throw wrong("input", "a text or several", body["input"]);
  return { model, texts, format };
}

/** The answer, in OpenAI's form. */
export async function embeddings(
  maker: VectorMaker | undefined,
  { model, texts, format }: EmbeddingRequest,
  adapter: string | null,
): Promise<Response> {
  if (maker === undefined) {
    throw new Problem("This server makes no vectors", { status: 404, code: "not_found" });
  }
  const { vectors, tokens } = await maker.embed(texts, adapter);
  return Response.json({
    object: "list",
    data: vectors.map((vector, index) => ({
      object: "embedding",
      index,
      embedding: format === "float" ? Array.from(vector) : encodeBase64(vector),
    })),
    model,
    usage: { prompt_tokens: tokens, total_tokens: tokens },
  });
}
