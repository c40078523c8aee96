/** All desks, from a file of data each. */
import { deskOf } from "../desk_data.ts";
import type { Desk } from "../intent.ts";
import bank from "./bank.json" with { type: "json" };
import delivery from "./delivery.json" with { type: "json" };
import health from "./health.json" with { type: "json" };
import insurance from "./insurance.json" with { type: "json" };
import leisure from "./leisure.json" with { type: "json" };
import shop from "./shop.json" with { type: "json" };
import software from "./software.json" with { type: "json" };
import telecom from "./telecom.json" with { type: "json" };
import travel from "./travel.json" with { type: "json" };
import utilities from "./utilities.json" with { type: "json" };

/** All kinds of companies in the generator, by the names of their files. */
export const DESKS: Readonly<Record<DeskName, Desk>> = {
  shop: deskOf(shop),
  delivery: deskOf(delivery),
  telecom: deskOf(telecom),
  travel: deskOf(travel),
  bank: deskOf(bank),
  insurance: deskOf(insurance),
  software: deskOf(software),
  utilities: deskOf(utilities),
  health: deskOf(health),
  leisure: deskOf(leisure),
};

/** The name of a desk. */
export type DeskName =
  | "shop"
  | "delivery"
  | "telecom"
  | "travel"
  | "bank"
  | "insurance"
  | "software"
  | "utilities"
  | "health"
  | "leisure";
