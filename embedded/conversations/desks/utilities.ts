/** Power, water and heating: bills, meters, moving, outages, boilers. */
import type { Desk } from "../intent.ts";
import { STREETS } from "../lists.ts";
import { among, code, count, days, money, time } from "../sources.ts";

const street = among(STREETS);

/** The utilities desk. */
export const utilities: Desk = {
  companies: ["Greenvolt", "City Power", "Aquaterra", "Sunfield Energy", "Volta", "Homeheat"],
  referenceNoun: "contract number",
  reference: code("#######", "E-#####", "###-####"),
  departments: ["meter readings", "billing", "technical service", "moving house"],
  intents: [
    {
      id: "power-bill",
      facts: {
        amount: money(410, 980),
        usual: money(120, 390),
        reading: count(10200, 48900),
        right: money(100, 380),
        rate: money(20, 90),
      },
      openings: [
        "My [power|electricity] bill is {amount}! Normally I pay {usual}.",
        "[I can't believe|I don't understand] this bill: {amount} for electricity[, for one person|].",
        "Why do you want {amount}? [Last year it was|I usually pay] {usual}.",
      ],
      questions: [
        ["Could you read me the meter?", "[One second...|It shows] {reading}."],
        [
          "Do you have a new device, [like|say] a heater or an electric car?",
          "[No|A freezer, but a small one|Nothing new].",
        ],
        ["Was the reading [estimated|sent in by you]?", "[I never sent one|I sent it by post|No idea]."],
      ],
      outcomes: [
        {
          turns: [
            "The reading was [estimated|guessed] too high. With the right one it's {right}; the new bill [follows|is on its way].",
            "[I knew it|That's more like it|Thank goodness].",
          ],
          deed: [
            "corrects a wrong estimate, so the bill is {right}",
            "sends a new bill of {right} because the reading was estimated too high",
          ],
        },
        {
          turns: [
            "The amount is [right|correct], prices went up. You can pay it in parts of {rate} [a month|monthly].",
            "[I'll do that|Okay, then in parts].",
          ],
          deed: [
            "says the bill is correct and agrees on monthly parts of {rate}",
            "lets the customer pay {rate} a month",
          ],
        },
        {
          turns: [
            "I'll send [someone|a technician] to [test|check] the meter. If it is faulty, you pay [nothing for that|no fee].",
          ],
          deed: ["has the meter tested", "sends a technician to check the meter"],
        },
      ],
      problem: ["complains about a power bill of {amount}", "questions an electricity bill of {amount}"],
    },
    {
      id: "meter-reading",
      facts: {
        reading: count(2100, 98700),
        wrong: count(2100, 98700),
        day: days(1, 9),
        meter: code("####", "M####"),
      },
      openings: [
        "I'd like to [give|report] my meter reading: {reading}.",
        "Your [form|website] doesn't [take|accept] my reading of {reading}.",
        "I [typed in|sent] {wrong} by mistake, the meter shows {reading}.",
      ],
      questions: [
        ["Which meter is it?", "[The one in the hall, number|Number] {meter}."],
        ["Is that for gas or for power?", "[Gas|Power|Power, the day counter]."],
        ["Did you read it today?", "[Just now|Yesterday|Yes, with a torch]."],
      ],
      outcomes: [
        {
          turns: ["[Thanks|Noted], I've entered {reading}. The [final|new] bill comes [on|by] {day}."],
          deed: ["enters {reading}, and the bill comes by {day}", "records the reading of {reading}"],
        },
        {
          turns: [
            "That's lower than last time, so [it can't be right|something is off]. [Could|Would] you send a photo?",
            "[Sure|Okay], [uploaded|here it is].",
            "[I see|Ah], the meter was [changed|replaced]. I've entered {reading} by hand.",
          ],
          deed: ["asks for a photo and enters {reading} by hand since the meter was replaced"],
        },
      ],
      problem: ["wants to report a meter reading of {reading}", "passes on a meter reading of {reading}"],
    },
    {
      id: "moving",
      facts: {
        old: street,
        street,
        number: count(2, 140),
        day: days(5, 30),
        price: money(40, 110),
        keys: time(9, 17),
      },
      openings: [
        "We're moving [from {old}|] to {number} {street} on {day}. [What do you need from us|What about our contract]?",
        "I'm leaving {old} on {day} and want to take my contract [with me|along] to {number} {street}.",
        "[Please move|Can you transfer] my electricity to {number} {street}, from {day} on.",
      ],
      questions: [
        ["Who takes over the old flat?", "[The landlord|A colleague of mine|Nobody yet]."],
        ["When are the keys handed over?", "[On that day at|At] {keys}."],
        ["How many people will live there?", "[Two|The four of us|Just me]."],
      ],
      outcomes: [
        {
          turns: [
            "[All set|It's arranged]: {number} {street} is supplied from {day}. Please [send|tell us] both readings on that day.",
          ],
          deed: [
            "moves the contract to {number} {street} from {day} and asks for both meter readings",
            "arranges supply at {number} {street} from {day}",
          ],
        },
        {
          turns: [
            "There we only have a [different|new] tariff: about {price} a month.",
            "[That's fine|Okay|Acceptable].",
          ],
          deed: [
            "offers a new tariff of about {price} a month, which is accepted",
            "moves the contract with a new tariff of {price} a month",
          ],
        },
        {
          turns: [
            "We don't [supply|serve] that area, so the contract [ends|will end] on {day}.",
            "[Okay, then I need someone else|Understood].",
          ],
          deed: ["cannot supply the new address and ends the contract on {day}"],
        },
      ],
      problem: [
        "is moving to {number} {street} and wants to take the contract along",
        "asks to transfer the supply to {number} {street}",
      ],
    },
    {
      id: "boiler",
      facts: {
        fault: among([
          ["no hot water", "no hot water"],
          ["a loud banging in the pipes", "banging pipes"],
          ["a heater that keeps switching off", "a heater that keeps switching off"],
          ["stone cold radiators", "cold radiators"],
          ["a flashing error", "an error on the display"],
        ]),
        code: code("E##", "F#"),
        day: days(0, 2),
        at: time(8, 20),
        price: money(60, 190),
        baby: among(["a baby", "an old mother", "guests", "a sick child"]),
      },
      openings: [
        "We have {fault}[ and {baby} in the house|]. [Can someone come|I need a technician]!",
        "The heating [is broken|acts up]: {fault}.",
        "Since this morning there's {fault}. [The display says {code}|I've not touched anything].",
      ],
      questions: [
        ["What does the display say?", "{code}[, and it blinks|]."],
        ["Is the pressure above one?", "[It's at zero|Just above|I don't know where to look]."],
        ["Do you smell gas?", "[No|No, nothing|Luckily no]."],
      ],
      outcomes: [
        {
          turns: ["A technician [comes|will come] on {day} at {at}."],
          deed: ["sends a technician on {day} at {at}", "books a repair for {day} at {at}"],
        },
        {
          turns: [
            "[Open|Turn] the valve under the boiler until the needle is at 1.5.",
            "[Wait... it works|It worked|That did it, it's fine now]!",
          ],
          deed: [
            "explains how to fill up the pressure to 1.5, which helps",
            "has the customer raise the pressure to 1.5, which solves it",
          ],
        },
        {
          turns: [
            "The emergency [visit|service] costs {price}. Shall I [send|order] it?",
            "[Yes, send them|We have no choice, yes].",
            "They'll [be there|ring you] by {at}.",
          ],
          deed: [
            "orders an emergency visit for {price} by {at}",
            "sends the emergency service at {at} for {price}",
          ],
        },
      ],
      problem: ["has {fault.s} at home", "reports {fault.s}"],
    },
  ],
};
