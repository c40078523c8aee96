/** An insurer: claims for cars, water, theft; premiums and cancellations. */
import type { Desk } from "../intent.ts";
import { CITIES, STREETS } from "../lists.ts";
import { among, code, count, days, money, time } from "../sources.ts";

/** The insurance desk. */
export const insurance: Desk = {
  companies: [
    "Safehaven",
    "Rowan Insurance",
    "Atlas Mutual",
    "Keystone Cover",
    "Lighthouse Insurance",
    "Aegis Direct",
  ],
  referenceNoun: "policy number",
  reference: code("P-#####", "@@######", "###-###"),
  departments: ["claims", "car insurance", "home insurance", "contracts"],
  intents: [
    {
      id: "car-claim",
      facts: {
        street: among(STREETS),
        on: days(-6, -1),
        what: among([
          ["someone reversed into my car", "another car reversed into the car"],
          ["I slid on ice into a fence", "the car slid into a fence"],
          ["a deer ran in front of me", "the car hit a deer"],
          ["a tree fell on my car in the storm", "a tree fell on the car"],
          ["I scraped a pillar while parking", "the car scraped a pillar"],
          ["a stone cracked my windscreen", "a stone cracked the windscreen"],
        ]),
        excess: money(100, 500),
        day: days(2, 7),
        at: time(8, 16),
      },
      openings: [
        "[I'd like to report an accident|I had an accident]: {what} on {on}.",
        "{what}[ in {street}|]. [What do I have to do now|Does my policy pay for that]?",
        "I need to [make|file] a claim, {what}[ near {street}|].",
      ],
      questions: [
        ["Was anyone [hurt|injured]?", "[Luckily not|No|Only a bruise]."],
        ["[When|On which day] did it happen?", "[It was|On] {on}."],
        ["Can the car still be driven?", "[Yes|No, it was towed|Yes, but it squeaks]."],
        ["Where was it?", "[In|On the corner of] {street}."],
      ],
      outcomes: [
        {
          turns: [
            "[The claim is open|I've opened the claim]. An expert [looks at|inspects] the car on {day} at {at}.",
          ],
          deed: [
            "opens a claim and sends an expert on {day} at {at}",
            "books an inspection on {day} at {at}",
          ],
        },
        {
          turns: [
            "[You're covered|It's covered], minus your excess of {excess}. Take it to [one of our|a partner] garage.",
            "[Okay|Fine], I'll [bring|take] it there[ tomorrow|].",
          ],
          deed: [
            "confirms cover minus an excess of {excess} and points to a partner garage",
            "agrees to pay for the repair except {excess}",
          ],
        },
        {
          turns: [
            "Your policy only covers [damage to others|third parties], so we [cannot|can't] pay for your own car.",
            "[Oh no|That's a blow]. [Nothing at all|Really nothing]?",
            "[I'm sorry|Sadly not].",
          ],
          deed: ["says the policy covers only damage to others, so nothing is paid"],
        },
      ],
      problem: ["reports that {what.s}", "makes a claim because {what.s}"],
    },
    {
      id: "water-damage",
      facts: {
        room: among(["kitchen", "bathroom", "cellar", "living room", "hallway", "bedroom"]),
        cause: among([
          ["the washing machine hose burst", "a burst hose"],
          ["a pipe in the wall is leaking", "a leaking pipe"],
          ["the neighbour's bath overflowed", "an overflowing bath upstairs"],
          ["the rain came in through the roof", "a leaking roof"],
        ]),
        cost: money(200, 4000),
        day: days(1, 4),
        days: count(3, 10),
      },
      openings: [
        "My {room} is [under water|soaked]: {cause}.",
        "[We have water damage|There's water everywhere] in the {room}, because {cause}.",
        "{cause} and the {room} is [ruined|a mess]. [Are we insured|Can you help]?",
      ],
      questions: [
        ["Is the water [turned off|stopped]?", "[Yes|Yes, the plumber did that|It's only dripping now]."],
        [
          "What is [damaged|affected]?",
          "[The floor and a cupboard|The ceiling and the paint|Carpet, sofa, books].",
        ],
        ["Do you have an estimate?", "[About|The handyman says|Roughly] {cost}."],
      ],
      outcomes: [
        {
          turns: [
            "A drying company [comes|will come] on {day}; the machines [run|stay] for {days} days. We pay them directly.",
          ],
          deed: [
            "sends a drying company on {day} at the insurer's cost",
            "arranges drying from {day} for {days} days",
          ],
        },
        {
          turns: [
            "We [accept|approve] costs up to {cost}. [Send|Please keep] the bills and photos.",
            "[I will|Sure|Thank you, that calms me].",
          ],
          deed: ["approves costs up to {cost} against bills and photos", "agrees to pay up to {cost}"],
        },
        {
          turns: [
            "[That|This] is for the [owner|landlord] of the building to claim; we only insure your [furniture|things].",
            "[So I call him|Then I'll tell my landlord].",
          ],
          deed: ["explains that the landlord has to claim for the building"],
        },
      ],
      problem: ["reports water damage in the {room} from {cause.s}", "has a wet {room} because of {cause.s}"],
    },
    {
      id: "premium",
      facts: {
        old: money(180, 320),
        new: money(330, 600),
        offer: money(200, 320),
        excess: among(["150", "300", "500"]),
        since: among(["2009", "2012", "2015", "2018", "2020"]),
        what: among(["car", "home", "health", "dog", "travel"]),
      },
      openings: [
        "My {what} insurance went [up|] from {old} to {new}. [Why|Can you explain that]?",
        "{new} for {what} insurance? Last year it was {old}!",
        "I got a letter: my {what} premium [rises|goes up] to {new}. [I've had no claims|I don't accept that].",
      ],
      questions: [
        ["Have you [moved|changed your address]?", "[No|Last spring, yes|Not in ten years]."],
        ["How long have you been with us?", "Since {since}."],
        ["Would you accept a higher excess?", "[How high|Depends, how much]?"],
      ],
      outcomes: [
        {
          turns: [
            "With an excess of {excess} it [would be|comes to] {offer}.",
            "[That's better|Then let's do that|I take it].",
          ],
          deed: [
            "offers {offer} with an excess of {excess}, which is accepted",
            "changes the policy to {offer} with an excess of {excess}",
          ],
        },
        {
          turns: [
            "Repair prices [rose|went up], so everyone pays more. As a loyal customer you [get|can have] it for {offer}.",
            "[Thanks|Okay, I appreciate that|I can live with it].",
          ],
          deed: ["lowers it to {offer} for loyalty", "grants a loyalty price of {offer}"],
        },
        {
          turns: [
            "I can't [change|lower] it, but you may cancel within a month of the letter.",
            "[Then please cancel|I'll do that|I'll compare offers first].",
          ],
          deed: ["cannot lower it and points out the right to cancel within a month"],
        },
      ],
      problem: [
        "complains that the {what} premium rises to {new}",
        "asks why {what} insurance now costs {new}",
      ],
    },
    {
      id: "travel-claim",
      facts: {
        city: among(CITIES),
        cost: money(60, 900),
        what: among([
          ["I had to see a doctor", "a doctor's visit"],
          ["I broke my arm", "a broken arm"],
          ["my bag was stolen", "a stolen bag"],
          ["I missed my ferry", "a missed ferry"],
          ["I caught a bad fever", "a fever"],
        ]),
        on: days(-20, -4),
        by: days(6, 18),
      },
      openings: [
        "{what} in {city} and paid {cost}. [Do I get that back|How do I claim it]?",
        "I have a travel [policy|insurance] with you. In {city} {what}, the bill was {cost}.",
        "[On my trip to {city}|While I was in {city}] {what}. It [cost|came to] {cost}.",
      ],
      questions: [
        ["[When was that|What date was it]?", "[On|It was] {on}."],
        [
          "Do you have [bills|the bill and a report]?",
          "[Yes, in Spanish|Only a photo|Everything in a folder].",
        ],
        ["Did you pay [yourself|in cash]?", "[Yes|With my card|A friend paid for me]."],
      ],
      outcomes: [
        {
          turns: [
            "[That's covered|We pay that]. You [get|will receive] {cost} by {by}.",
            "[Super|Very good|Thank you].",
          ],
          deed: ["agrees to pay {cost} by {by}", "accepts the claim and pays {cost} by {by}"],
        },
        {
          turns: [
            "[First|Before that] we need [the originals|a police report or a doctor's note]. [Send|Please send] them by {by}.",
          ],
          deed: ["asks for documents by {by} before paying", "requires the papers by {by}"],
        },
        {
          turns: [
            "The trip was [longer than|more than] six weeks, and [that's not|only six weeks are] covered.",
            "[I didn't know|It was just two days more!]",
            "[I'll ask my boss for goodwill|Let me see what I can do: I'll hand it to my manager].",
          ],
          deed: ["finds the trip too long for cover but asks a manager for goodwill"],
        },
      ],
      problem: ["claims {cost} for {what.s} in {city}", "wants {cost} back after {what.s} in {city}"],
    },
  ],
};
