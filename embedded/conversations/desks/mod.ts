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

/** All kinds of companies in the generator. */
export const DESKS: readonly Desk[] = [
  deskOf(shop),
  deskOf(delivery),
  deskOf(telecom),
  deskOf(travel),
  deskOf(bank),
  deskOf(insurance),
  deskOf(software),
  deskOf(utilities),
  deskOf(health),
  deskOf(leisure),
];
