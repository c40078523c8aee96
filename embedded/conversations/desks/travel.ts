/**
 * A travel company: flights, hotels, luggage, trains, cars.
 * Over 300 lines because it is one table of texts.
 */
import type { Desk } from "../intent.ts";
import { CITIES, RAIL_CITIES } from "../lists.ts";
import { among, code, count, days, money, time } from "../sources.ts";

const city = among(CITIES);

/** The travel desk. */
export const travel: Desk = {
  companies: [
    "Aerolane",
    "Sunway Travel",
    "Globetrot",
    "Meridian Air",
    "Wayfarer",
    "Hotel Direct",
    "Norda Airlines",
  ],
  referenceNoun: "booking reference",
  reference: code("@@@@##", "@#@#@#", "######"),
  departments: ["flight bookings", "hotel bookings", "baggage", "refunds"],
  intents: [
    {
      id: "flight-change",
      facts: {
        to: city,
        old: days(6, 20),
        new: days(21, 40),
        fee: money(25, 140),
        at: time(6, 21),
        why: among([
          ["my meeting was moved", "a meeting was moved"],
          ["my daughter is ill", "a child is ill"],
          ["I broke my foot", "of a broken foot"],
          ["the wedding was postponed", "a wedding was postponed"],
        ]),
      },
      openings: [
        "I need to [move|change|rebook] my flight to {to} from {old} to {new}.",
        "Can I fly to {to} on {new} instead of {old}? {why}.",
        "[Something came up|Change of plans]: I can't fly to {to} on {old}. Is {new} possible?",
      ],
      questions: [
        [
          "[Morning or evening|Do you prefer an early or a late flight]?",
          "[Early is better|Doesn't matter|Not too early, please].",
        ],
        ["Is it [just|only] you[ travelling|]?", "[Yes|Me and my son|Two adults, same booking]."],
        ["May I ask the reason?", "[Sure,|Well,] {why}."],
      ],
      outcomes: [
        {
          turns: [
            "[There are seats|I have a seat] on {new} at {at}. The change costs {fee}.",
            "[Fine, book it|All right, do that|OK go ahead].",
            "[Done|Rebooked]; the new ticket is in your inbox.",
          ],
          deed: ["rebooks it to {new} at {at} for {fee}", "changes the flight to {new} for a fee of {fee}"],
        },
        {
          turns: [
            "Your fare [allows changes|is flexible], so I moved you to {new} at {at} [for free|without a fee].",
          ],
          deed: ["moves the flight to {new} at {at} without a fee", "changes it for free to {new}"],
        },
        {
          turns: [
            "Your ticket [can't be changed|is not changeable]; you'd have to [buy a new one|book again] for {fee}.",
            "[Then I keep the old date|No, then I leave it].",
          ],
          deed: [
            "says the ticket cannot be changed, so it stays as it is",
            "refuses, as the fare allows no change, and the old date stays",
          ],
        },
      ],
      problem: [
        "wants to move a flight to {to} from {old} to {new}",
        "asks to fly to {to} on {new} instead of {old}",
        "cannot take the flight to {to} on {old}",
      ],
    },
    {
      id: "hotel-cancel",
      facts: {
        city,
        nights: count(2, 9),
        from: days(3, 30),
        price: money(150, 900),
        part: money(50, 140),
        hotel: among([
          "Park Inn",
          "Grand Plaza",
          "Hotel Luna",
          "Seaview",
          "Crown Hotel",
          "Villa Rosa",
          "Old Mill",
        ]),
      },
      openings: [
        "I'd like to cancel my room at the {hotel} in {city}[, from {from}|, {nights} nights from {from}].",
        "We [can't|won't be able to] come to {city}, please cancel the {hotel}.",
        "Is it [still|] possible to cancel {nights} nights at the {hotel} in {city}[ for free|]?",
      ],
      questions: [
        ["[Which date is it for|When would you have arrived]?", "[On|It was from] {from}."],
        ["Did you book with free cancellation?", "[I believe so|I don't know|Yes, it says so in the mail]."],
        ["Would other dates be possible?", "[Not this year|No, sadly|I'd rather cancel]."],
      ],
      outcomes: [
        {
          turns: ["[Cancelled|I've cancelled it]. You get {price} back [within five days|to your card]."],
          deed: ["cancels the booking and refunds {price}", "confirms the cancellation with {price} back"],
        },
        {
          turns: [
            "It's too late to cancel [for free|without charge]: the hotel keeps {part}, the rest is [refunded|paid back].",
            "[That hurts, but okay|I understand|Fine].",
          ],
          deed: [
            "cancels it, but the hotel keeps {part}",
            "explains that {part} will be kept and refunds the rest",
          ],
        },
        {
          turns: [
            "The rate is non-refundable, but I [called|rang] the {hotel}: they turn it into a voucher worth {price}.",
            "[That's great|Oh good, thank them|A voucher is fine].",
          ],
          deed: ["gets a voucher of {price} from the hotel instead of a refund"],
        },
      ],
      problem: [
        "wants to cancel a stay at the {hotel} in {city}",
        "asks to cancel a room at the {hotel} in {city}",
      ],
    },
    {
      id: "luggage",
      facts: {
        from: city,
        to: city,
        bag: among([
          "black suitcase",
          "red rucksack",
          "blue trolley",
          "brown leather bag",
          "green duffel bag",
          "silver hard case",
          "ski bag",
          "guitar case",
        ]),
        limit: money(60, 160),
        day: days(1, 3),
        at: time(9, 21),
      },
      openings: [
        "I flew from {from} to {to} and my {bag} [didn't arrive|is missing|never came out].",
        "My {bag} [got lost|is gone] on the way to {to}.",
        "[I'm standing at the airport in {to}|I'm at the belt in {to}] and my {bag} isn't here!",
      ],
      questions: [
        ["[Where did you start|Where did you check it in]?", "In {from}."],
        [
          "Is there anything [special|unusual] about it?",
          "[A yellow ribbon|My initials on the side|A sticker of a whale].",
        ],
        [
          "[What|Which] address should it go to?",
          "[My hotel, it's in the form|My home address, you have it].",
        ],
      ],
      outcomes: [
        {
          turns: [
            "We've found it[!|:] it's still in {from} and [flies|comes] with the next plane. It will be brought to you on {day}[ around {at}|].",
            "[Thank goodness|What a relief]!",
          ],
          deed: [
            "finds it in {from} and has it brought on {day}",
            "locates it in {from}; it arrives on {day}",
          ],
        },
        {
          turns: [
            "I've [opened a search|filed a report]. Meanwhile you may [buy|get] what you need up to {limit}; keep the receipts.",
          ],
          deed: [
            "starts a search and allows purchases up to {limit}",
            "files a report and covers necessities up to {limit}",
          ],
        },
        {
          turns: [
            "Somebody [took|picked up] it by mistake and has [called|brought it back]. You can fetch it at the desk in {to} from {at}.",
            "[Lucky me|I'm on my way].",
          ],
          deed: ["tells that someone took it by mistake and that it can be fetched in {to} from {at}"],
        },
      ],
      problem: ["misses a {bag} after a flight to {to}", "reports that a {bag} was lost on a flight to {to}"],
    },
    {
      id: "flight-delay",
      facts: {
        to: city,
        on: days(-20, -2),
        hours: count(4, 11),
        cause: among([["a technical fault", "a technical fault"], ["bad weather", "bad weather"], [
          "a crew that didn't show up",
          "a missing crew",
        ], ["a strike of the pilots", "a strike"]]),
        sum: among(["250 euros", "400 euros", "600 euros"]),
        meal: money(10, 30),
        by: days(7, 20),
      },
      openings: [
        "My flight to {to} on {on} was {hours} hours late. [I want compensation.|What do I get for that?|What are my rights?]",
        "We [waited|sat at the gate] {hours} hours for the flight to {to}[ on {on}|]. I'd like my money.",
        "I'm [claiming|asking for] compensation: {hours} hours of delay to {to}.",
      ],
      questions: [
        ["Were you told [the reason|why]?", "[They said it was|Because of|Apparently] {cause}."],
        ["Did you get [food|a meal voucher]?", "[A bottle of water|Nothing|A sandwich at midnight]."],
        ["Do you still have the boarding pass?", "[Yes|In the app|A photo of it]."],
      ],
      outcomes: [
        {
          turns: [
            "You are [entitled to|owed] {sum}. It will be [paid|transferred] by {by}.",
            "[Excellent|That was easier than I thought|Thank you]!",
          ],
          deed: ["grants {sum}, to be paid by {by}", "approves compensation of {sum}"],
        },
        {
          turns: [
            "[By law that counts as|That was] an exceptional event, so there's no compensation. I can pay your meals: {meal}.",
            "[Better than nothing|Okay, I'll send the bill].",
          ],
          deed: ["refuses compensation for an exceptional event but pays {meal} for meals"],
        },
        {
          turns: [
            "I need [a colleague|the claims team] to [check|look at] the log of that flight. You hear from us by {by}.",
          ],
          deed: [
            "passes the case on for a check with an answer by {by}",
            "has the claim examined until {by}",
          ],
        },
      ],
      problem: [
        "claims compensation for a delay of {hours} hours on a flight to {to}",
        "asks for money because the flight to {to} was {hours} hours late",
      ],
    },
    {
      id: "train-ticket",
      facts: {
        from: among(RAIL_CITIES),
        to: among(RAIL_CITIES),
        date: days(1, 15),
        at: time(6, 20),
        price: money(19, 120),
        seat: count(11, 98),
      },
      openings: [
        "I [booked|bought] a train ticket from {from} to {to} for {date} and [no ticket came|never got the mail|the PDF won't open].",
        "I paid {price} for the train to {to} but [I have no ticket|nothing arrived].",
        "My train ticket to {to} shows the wrong [day|time]. I need {date} at {at}.",
      ],
      questions: [
        ["Which [email|address] did you use?", "[My work one, I think|The usual one|Maybe I mistyped it]."],
        [
          "[Did|Has] the payment [go|gone] through?",
          "[Yes, {price}|It left my account|I see {price} on my card].",
        ],
        ["Do you [need|want] a seat as well?", "[Yes, by the window|If there is one|Aisle, please]."],
      ],
      outcomes: [
        {
          turns: [
            "I've [sent it again|resent the ticket]: {date}, {at}, seat {seat}.",
            "[Got it|Now it's here|I can open it]!",
          ],
          deed: [
            "sends the ticket again for {date} at {at} with seat {seat}",
            "issues the ticket once more: {date} at {at}",
          ],
        },
        {
          turns: [
            "The booking was never [completed|finished], so the {price} [returns|goes back] to your card by itself. I'd book again.",
            "[I'll do that|Okay, thanks for checking].",
          ],
          deed: ["finds that the booking was never completed and that {price} will be returned"],
        },
        {
          turns: [
            "You can [show|use] the code {seat} in the app instead of a ticket; the conductor accepts it.",
            "[Really? Good|That's handy].",
          ],
          deed: ["says the code {seat} in the app is enough as a ticket"],
        },
      ],
      problem: ["has a problem with a train ticket to {to}", "needs help with a train ticket to {to}"],
    },
    {
      id: "car-rental",
      facts: {
        city,
        damage: money(120, 800),
        part: money(40, 110),
        car: among(["small car", "van", "convertible", "family car", "electric car"]),
        what: among([["a scratch on the door", "a scratch"], ["a dent in the bumper", "a dent"], [
          "a stain on the seat",
          "a stain",
        ], ["a missing hubcap", "a missing hubcap"]]),
        day: days(-12, -3),
        by: days(3, 9),
      },
      openings: [
        "You [took|charged me] {damage} for {what} on the {car} I rented in {city}. [It was there before|That wasn't me]!",
        "About the {car} from {city}: I'm supposed to pay {damage} for {what}.",
        "I [returned|brought back] the {car} in {city} without a problem, and now there's a bill of {damage} for {what}.",
      ],
      questions: [
        [
          "Did you take [photos|pictures] at pick-up?",
          "[Yes, I'm sending them|A video, even|No, who does that].",
        ],
        ["[When was|What was] the day of return?", "[It was|On] {day}."],
        [
          "Did a colleague [check|inspect] the car with you?",
          "[Nobody was there|Yes, and he said it's fine|I dropped the key in the box].",
        ],
      ],
      outcomes: [
        {
          turns: [
            "The [earlier report|report before yours] shows {what.s} already. We [cancel|take back] the {damage}[; sorry|].",
            "[Good that I called|Thank you]!",
          ],
          deed: [
            "cancels the bill of {damage} since the damage was there before",
            "takes back the {damage}, as an earlier report shows it",
          ],
        },
        {
          turns: ["With your insurance you only pay {part}.", "[All right|I can accept that|Hm, okay]."],
          deed: [
            "lowers the bill to {part} because of the insurance",
            "says only {part} is due thanks to the insurance",
          ],
        },
        {
          turns: [
            "I'll [forward|pass on] it to our damage [desk|team]; you get a written [answer|reply] by {by}.",
          ],
          deed: ["passes it to the damage team, which replies by {by}", "promises a written answer by {by}"],
        },
      ],
      problem: [
        "disputes a bill of {damage} for {what.s} on a rental {car}",
        "was charged {damage} for {what.s} on a car rented in {city}",
      ],
    },
  ],
};
