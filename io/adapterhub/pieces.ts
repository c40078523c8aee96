/** The methods of an adapter that is to be saved for AdapterHub, and where their parameters stand. */
import { type Json, lookup, type Model, Tensor, type Tree } from "../../core/mod.ts";
import { blockNumber } from "./layout.ts";
import { type MethodPiece, methodPieces } from "../records/method_pieces.ts";

/** One method of an adapter, its parameters those inside a gate. */
export interface Piece extends MethodPiece {
  /** The gate around it, if there is one. */
  readonly gate?: string;
}

/** The methods of a composition, however deep; `params` lie at `prefix` in the adapter's. */
export function piecesOf(
  name: string,
  config: Readonly<Record<string, Json>>,
  params: Tree,
  prefix: string,
): readonly Piece[] {
  return methodPieces(name, config, params, prefix).map(ungated);
}

function ungated(piece: MethodPiece): Piece {
  if (!piece.method.startsWith("gated(")) return piece;
  const { gate, ...options } = piece.options;
  return {
    ...piece,
    method: piece.method.slice("gated(".length, -1),
    options,
    gate: String((gate as { readonly name: Json }).name),
    params: (piece.params["of"] ?? {}) as Tree,
  };
}

/** Stops with what the library would compute otherwise. */
export const refuse = (piece: Piece, why: string): never => {
  throw new RangeError(`Cannot save ${piece.method} for AdapterHub: ${why}`);
};

/** The blocks, as the library counts, of those places that have no parameters. */
export function leftOut(
  piece: Piece,
  places: readonly { readonly path: string; readonly stack: string; readonly layer?: number }[],
  model: Model,
): readonly number[] {
  const held = new Set(
    places.filter(({ path }) => holds(piece, path)).map((place) => blockNumber(model, place)),
  );
  if (held.size === 0) refuse(piece, "none of its parameters stands at a part of the model");
  return [...new Set(places.map((place) => blockNumber(model, place)))].filter((n) => !held.has(n));
}

/** Whether a piece has parameters at a path. */
export const holds = ({ params }: Piece, path: string): boolean => {
  const found = lookup(params, path);
  return found !== undefined && (found instanceof Tensor || Object.keys(found).length > 0);
};
