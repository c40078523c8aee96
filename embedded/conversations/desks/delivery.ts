/**
 * A parcel service: late, lost and misdirected parcels, customs, times and places.
 * Over 300 lines because it is one table of texts.
 */
import type { Desk } from "../intent.ts";
import { CITIES, STREETS } from "../lists.ts";
import { among, code, count, days, money, time } from "../sources.ts";

const content = among([
  "birthday present",
  "set of books",
  "spare part",
  "pair of glasses",
  "camera",
  "wedding dress",
  "passport",
  "laptop",
  "box of wine",
  "contract",
  "medical device",
  "toy",
  "coat",
  "keyboard",
  "lamp",
  "bag of coffee",
  "painting",
  "phone",
]);

/** The parcel desk. */
export const delivery: Desk = {
  companies: ["Swiftpost", "Parcelo", "Redline Couriers", "Blue Heron Delivery", "Kurier One", "Fleetway"],
  referenceNoun: "tracking number",
  reference: code("@@#####", "######", "@####@"),
  departments: ["customs", "the depot", "claims", "collections"],
  intents: [
    {
      id: "parcel-late",
      facts: {
        content,
        due: days(-6, -1),
        city: among(CITIES),
        by: days(1, 4),
        reason: among([
          ["a strike at the hub", "a strike"],
          ["heavy snow", "snow"],
          ["a van that broke down", "a broken van"],
          ["a sorting error", "a sorting error"],
          ["far too many parcels this week", "too many parcels"],
        ]),
      },
      openings: [
        "My parcel was [due|supposed to come] on {due} and it's [still not here|nowhere to be seen]. It's a {content}[, so I really need it|].",
        "I'm waiting for a {content} that should have [arrived|been delivered] on {due}.",
        "The tracking [hasn't changed|has been stuck] since {due}. [Where|So where] is my {content}?",
      ],
      questions: [
        ["Which [city|depot] does the tracking show?", "[It says|The last entry is] {city}."],
        ["Was someone at home[ that day|]?", "[All day|Yes, my mother was|I work from home, so yes]."],
        [
          "Is the name on the [bell|letterbox] the same as on the parcel?",
          "[Yes|Yes, of course|It should be].",
        ],
      ],
      outcomes: [
        {
          turns: [
            "The parcel is [held up|stuck] in {city} because of {reason}. It [will reach you|comes] by {by}.",
            "[Okay, thanks for being honest|Hm, I hope so|Right, I'll wait].",
          ],
          deed: [
            "explains that {reason.s} holds it up in {city} and promises delivery by {by}",
            "says it will come by {by} after a delay caused by {reason.s}",
          ],
        },
        {
          turns: [
            "I've [marked it as urgent|put it on priority], and the driver [brings|will bring] it on {by}[ before noon|].",
          ],
          deed: ["marks it as urgent for delivery on {by}", "gives it priority so that it comes on {by}"],
        },
        {
          turns: [
            "It looks as if it was left at the depot in {city}. You can [fetch|collect] it there from {by}.",
            "[Can't you bring it?|I have no car, can't you deliver it?]",
            "[Yes|Of course], then we [deliver|bring it] one day later.",
          ],
          deed: ["locates it at the depot in {city} and agrees to deliver it one day after {by}"],
        },
      ],
      problem: [
        "is waiting for a {content} that has not been delivered",
        "asks about a late parcel with a {content}",
        "says a {content} due on {due} has not arrived",
      ],
    },
    {
      id: "parcel-lost",
      facts: {
        content,
        on: days(-9, -2),
        place: among([
          "the front porch",
          "a neighbour's",
          "the garage",
          "the reception",
          "the bin store",
          "the garden shed",
        ]),
        value: money(30, 600),
        by: days(5, 12),
      },
      openings: [
        "Your site says my parcel was delivered on {on}, but [I never got it|there is nothing here]. It's a {content}.",
        "A {content} is marked as delivered on {on}. [Nobody here has it|I've looked everywhere].",
        "[Somebody stole my parcel or you lost it.|My parcel has vanished.] Delivered on {on}, supposedly, a {content}.",
      ],
      questions: [
        [
          "The driver noted that he left it at {place}. Did you [look|check] there?",
          "[Yes, nothing|I did, it's not there|Twice, no].",
        ],
        ["What is the [value|worth]?", "[About|Around|It cost] {value}."],
        [
          "Could [a neighbour|someone in the house] have taken it in?",
          "[I asked them all|No, they know nothing|I rang at every door].",
        ],
      ],
      outcomes: [
        {
          turns: [
            "I'm opening an investigation. The driver will be [asked|interviewed], and you hear from us by {by}.",
          ],
          deed: [
            "opens an investigation with an answer by {by}",
            "starts an inquiry and will report by {by}",
          ],
        },
        {
          turns: [
            "As we cannot prove the delivery, we pay you {value}. [Please fill in the form I sent|The form is in your inbox].",
            "[That's fair|Thank you, I'll do it tonight].",
          ],
          deed: [
            "agrees to pay {value} because the delivery cannot be proved",
            "offers compensation of {value}",
          ],
        },
        {
          turns: [
            "The GPS shows it was dropped at a [wrong house|house two streets away]. The driver [fetches|collects] it and brings it on {by}.",
            "[Unbelievable, but good|Oh! Great|So it wasn't stolen].",
          ],
          deed: ["finds that it went to a wrong house and has it brought on {by}"],
        },
      ],
      problem: [
        "did not receive a {content} that is marked as delivered on {on}",
        "reports a missing parcel with a {content}",
        "says a {content} never came although it is marked as delivered",
      ],
    },
    {
      id: "address-change",
      facts: {
        content,
        old: among(STREETS),
        street: among(STREETS),
        number: count(2, 180),
        by: days(1, 5),
        fee: money(3, 8),
      },
      openings: [
        "I [put|gave] the wrong address for my parcel. It must go to {number} {street}[, not {old}|].",
        "Can you [redirect|send] my {content} to {number} {street}? [I've moved|I won't be at home|I'm at my sister's].",
        "[I'm moving this week|I typed my old address], please deliver to {number} {street}.",
      ],
      questions: [
        [
          "Has the parcel [left|been shipped] already?",
          "[I think so|The app says it's on the way|No idea, sorry].",
        ],
        [
          "Is there a [flat number|name on the bell] I should note?",
          "[No, it's a house|Just my last name|Second floor, on the left].",
        ],
        [
          "[Is it permanent or only for this parcel|Only this one time or always]?",
          "[Only this one|For all parcels from now on|Just this time].",
        ],
      ],
      outcomes: [
        {
          turns: ["I've changed it to {number} {street}; expect it [on|by] {by}."],
          deed: [
            "changes the address to {number} {street} with delivery by {by}",
            "redirects it to {number} {street}, expected by {by}",
          ],
        },
        {
          turns: [
            "A change on the way costs {fee}. [Is that okay|Shall I do it]?",
            "[Yes, no choice|Go on then|Okay].",
            "[Changed|Done]: {number} {street}, [on|by] {by}.",
          ],
          deed: ["redirects it to {number} {street} for a fee of {fee}"],
        },
        {
          turns: [
            "It's already in the van, so I can't [change|redirect] it. The driver will leave it at [a|the nearest] pickup shop[ instead|].",
            "[Okay, I'll fetch it there|That's all right].",
          ],
          deed: [
            "cannot change the address any more and sends it to a pickup shop",
            "has it left at a pickup shop because it is already in the van",
          ],
        },
      ],
      problem: [
        "wants a parcel sent to {number} {street}",
        "asks to change the delivery address to {number} {street}",
      ],
    },
    {
      id: "customs-fee",
      facts: {
        content,
        fee: money(12, 140),
        country: among([
          "Japan",
          "China",
          "Canada",
          "Brazil",
          "India",
          "Norway",
          "Turkey",
          "the United States",
        ]),
        worth: money(20, 90),
        by: days(2, 8),
      },
      openings: [
        "You want {fee} for customs on a {content} from {country}. [Why|What for]?",
        "I got a [bill|letter] for {fee} in import duty. It's only a {content} from {country}!",
        "Do I [really have to|have to] pay {fee} to get my {content} from {country}?",
      ],
      questions: [
        ["What value did the sender [declare|write down]?", "[I guess|It says|Should be] {worth}."],
        ["Was it a gift or a purchase?", "[A gift from a friend|I bought it|I ordered it online]."],
      ],
      outcomes: [
        {
          turns: [
            "I [checked|see]: the value was typed in wrongly. I'm cancelling the {fee}, and you get it by {by}.",
          ],
          deed: [
            "cancels the fee of {fee} because of a typing error and promises delivery by {by}",
            "drops the {fee}, as the value was wrong, and delivers by {by}",
          ],
        },
        {
          turns: [
            "Yes, the tax office [sets|demands] it, not us. Once you [pay|have paid], we deliver within two days.",
            "[Then I'll pay. But how|Okay, where do I pay|Fine, how do I pay]?",
            "[Through the link in the letter|There is a link in the letter].",
          ],
          deed: [
            "explains that the tax office demands it and that delivery follows within two days of payment",
          ],
        },
        {
          turns: [
            "You can refuse the parcel; then it goes [back|back to {country}] at no cost.",
            "[I'll do that|Yes, send it back].",
          ],
          deed: [
            "sends the parcel back at no cost since the customer refuses to pay",
            "arranges for the parcel to be refused and returned free of charge",
          ],
        },
      ],
      problem: [
        "disputes a customs fee of {fee} for a {content} from {country}",
        "asks why {fee} is due for a {content} from {country}",
      ],
    },
    {
      id: "collection",
      facts: {
        street: among(STREETS),
        boxes: count(2, 9),
        kilos: count(6, 40),
        day: days(1, 6),
        at: time(9, 17),
        price: money(9, 45),
      },
      openings: [
        "I'd like [to book|] a collection of {boxes} boxes from {street}[, please|].",
        "Can someone pick up {boxes} parcels [at|from] {street}? [They're heavy|I can't carry them|I don't have a car].",
        "[Nobody came today|Your driver didn't come] to collect my {boxes} boxes from {street}!",
      ],
      questions: [
        ["How heavy [are they|is the heaviest]?", "[Roughly|About|At most] {kilos} kilos."],
        ["Are the labels [printed|on the boxes]?", "[Yes|Not yet, my printer is broken|All done]."],
        [
          "Is there a lift or a doorman?",
          "[Neither, it's the ground floor|There's a lift|A doorman, until five].",
        ],
      ],
      outcomes: [
        {
          turns: [
            "A driver [comes|will be there] on {day} at {at}; the price is {price}.",
            "[Great|Works for me].",
          ],
          deed: [
            "books a collection on {day} at {at} for {price}",
            "sends a driver on {day} at {at}, at a price of {price}",
          ],
        },
        {
          turns: [
            "The [earliest|next free] slot is {day} at {at}.",
            "[Nothing sooner?|That's late.]",
            "[I'm afraid not|Sadly no], but [it's free of charge|I'll waive the price] then.",
            "[Okay, book it|I'll take it].",
          ],
          deed: ["offers {day} at {at} as the earliest slot, free of charge, and the customer accepts"],
        },
      ],
      problem: [
        "wants {boxes} boxes collected from {street}",
        "needs a pick-up of {boxes} boxes at {street}",
      ],
    },
  ],
};
