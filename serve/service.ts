/** What the HTTP interface serves: an engine, a base and its adapters. */
import type { Model, Sampler } from "../core/mod.ts";
import type { Tokenizer } from "../formats/tokenizer.ts";
import type { VectorMaker } from "./embeddings.ts";
import type { Engine } from "./engine.ts";

/** The service behind the interface. */
export interface Service {
  /** The bare base, with its tokenizer and chat template. */
  readonly model: Model<Tokenizer>;
  /** The engine that generates the texts, with the same model; absent where the model writes none, as an encoder. */
  readonly engine?: Engine;
  /** The bare base's name; "base" names it too. */
  readonly base: string;
  /** The engine's adapters, by name. */
  readonly adapters: readonly string[];
  /** Makes vectors of texts; absent where the server makes none. */
  readonly vectors?: VectorMaker;
  /** Maximum number of tokens of a prompt and its text together. */
  readonly maxLength: number;
  /** Most new tokens of a chat that asks for no number; default: what the context leaves. */
  readonly maxTokens?: number;
  /** How tokens are drawn where a request does not say it; default: the likeliest is taken. */
  readonly sampler?: Sampler;
  /** Maximum size of a body in bytes. */
  readonly maxBytes: number;
  /** Start time in seconds since 1970. */
  readonly began: number;
  /** Seconds since 1970. */
  now(): number;
  /** The seed for a request without one. */
  seed(): number;
  /** A unique id for an answer. */
  id(): string;
  /** Whether new requests are refused because the server is stopping. */
  stopping(): boolean;
}
