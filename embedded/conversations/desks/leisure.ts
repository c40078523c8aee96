/**
 * Events, gyms, courses, restaurants, gift cards.
 * Over 300 lines because it is one table of texts.
 */
import type { Desk } from "../intent.ts";
import { CITIES } from "../lists.ts";
import { among, code, count, days, money, time } from "../sources.ts";

const city = among(CITIES);
const who = among([
  "my aunt",
  "a colleague",
  "my grandson",
  "my neighbour",
  "a friend",
  "my boss",
  "my sister",
]);
const course = among([
  "Spanish course",
  "pottery class",
  "first aid course",
  "swimming class",
  "photography course",
  "cooking class",
  "accounting course",
  "guitar course",
  "dance class",
  "sewing course",
  "coding course",
]);

/** The leisure desk. */
export const leisure: Desk = {
  companies: [
    "Ticketbay",
    "Bodyhouse",
    "Curtain Call",
    "Learnwell",
    "Table Nine",
    "Playground Events",
    "Giftly",
  ],
  referenceNoun: "booking number",
  reference: code("######", "@@####", "B-####"),
  departments: ["memberships", "tickets", "vouchers", "courses"],
  intents: [
    {
      id: "ticket-refund",
      facts: {
        show: among([
          "jazz night",
          "opera",
          "football match",
          "comedy show",
          "rock concert",
          "ballet",
          "musical",
          "circus",
        ]),
        city,
        date: days(3, 40),
        seats: count(2, 6),
        price: money(40, 260),
        new: days(45, 120),
        fee: money(4, 12),
      },
      openings: [
        "I can't make it to the {show} in {city} [after all|any more]. Can I get my {price} back?",
        "I can't go to the {show} in {city} on {date}. Can I [return|sell back] my {seats} tickets?",
        "[I bought|We have] {seats} tickets for the {show} in {city} and [we're ill|my friends cancelled].",
      ],
      questions: [
        ["Did you buy them [from us|on our site]?", "[Yes|Yes, in the app|At your box office]."],
        ["Do you have ticket insurance?", "[No|I think I ticked that box|What's that?]"],
        ["How many tickets are there?", "{seats}[, side by side|]."],
      ],
      outcomes: [
        {
          turns: ["You [get|will get] {price} back, minus a fee of {fee}.", "[Okay|Fair enough]."],
          deed: ["refunds {price} minus a fee of {fee}", "takes the tickets back for {price} less {fee}"],
        },
        {
          turns: [
            "The show is [moved|postponed] to {new}; your tickets stay valid.",
            "[Oh good|Then I'll keep them|Let me check... that works].",
          ],
          deed: [
            "says it is postponed to {new} and the tickets stay valid",
            "tells that the new date is {new}",
          ],
        },
        {
          turns: [
            "We [don't|can't] take tickets back, but you can [offer|sell] them on our resale page.",
            "[I'll try that|Okay, let's hope].",
          ],
          deed: [
            "refuses a refund but points to the resale page",
            "suggests the resale page instead of a refund",
          ],
        },
      ],
      problem: [
        "wants money back for tickets to the {show} in {city}",
        "asks about returning tickets for the {show} in {city}",
      ],
    },
    {
      id: "gym",
      facts: {
        why: among([
          ["I hurt my knee", "of a hurt knee"],
          ["I'm pregnant", "of a pregnancy"],
          ["I'm away for work", "of work abroad"],
          ["I lost my job", "of a lost job"],
          ["I never find the time", "there is no time"],
        ]),
        months: count(2, 6),
        from: days(3, 12),
        price: money(19, 60),
        end: days(40, 100),
      },
      openings: [
        "I'd like to [pause|freeze] my membership for {months} months. {why}.",
        "Can I [stop|pause] paying {price} a month? {why}.",
        "{why}, so I can't train for {months} months. [What are my options|What happens to my membership]?",
      ],
      questions: [
        ["Do you have a [doctor's note|certificate]?", "[Yes|I can get one|No, do I need it?]"],
        ["From when?", "[From|Starting] {from}."],
        ["For how long?", "[For|About] {months} months."],
      ],
      outcomes: [
        {
          turns: ["[It's paused|Your membership is frozen] from {from} for {months} months."],
          deed: ["freezes the membership from {from} for {months} months", "pauses it for {months} months"],
        },
        {
          turns: [
            "Pausing is [only possible|possible only] with a doctor's note. Otherwise I can end it on {end}.",
            "[Then end it|Okay, end it please].",
          ],
          deed: ["ends the membership on {end} since a pause needs a doctor's note"],
        },
        {
          turns: [
            "I could [move|switch] you to the small plan at {price} with no [term|commitment].",
            "[Yes, that's better|I'd like that].",
          ],
          deed: [
            "switches the customer to a small plan at {price}",
            "offers a small plan for {price}, which is accepted",
          ],
        },
      ],
      problem: [
        "wants to pause a gym membership because {why.s}",
        "cannot train because {why.s} and asks for a pause",
      ],
    },
    {
      id: "course-place",
      facts: {
        course,
        start: days(2, 20),
        new: days(25, 60),
        at: time(9, 20),
        price: money(60, 350),
        place: count(2, 9),
      },
      openings: [
        "Is there [still|] a place in the {course} [that starts|starting] on {start}?",
        "I [signed up|registered] for the {course} on {start} and [heard nothing|got no confirmation].",
        "I'd love to [join|do] the {course} on {start}[, if it isn't full|]. [A friend recommended it|It would be a present to myself].",
      ],
      questions: [
        ["Have you taken one [before|with us]?", "[No|Yes, a year ago|The beginners' one]."],
        ["[Do you know the price|You know it costs {price}]?", "[Yes, {price}|{price}, I saw that]."],
      ],
      outcomes: [
        {
          turns: [
            "It's full: you're [number|in place] {place} on the waiting list. The next one starts on {new} at {at}.",
            "[Then put me down for the next one|I'll take the next].",
          ],
          deed: [
            "books the next one, on {new} at {at}, because the first is full",
            "puts the customer into the one on {new}, as the first is full",
          ],
        },
        {
          turns: [
            "[All good|Everything is fine]: you're [on the list|registered] for {start} at {at}; it costs {price}.",
          ],
          deed: ["confirms the place on {start} at {at} for {price}", "confirms the place for {start}"],
        },
        {
          turns: [
            "The {course} was [called off|cancelled]; too few people signed up. [Would you like|Shall I book you for] the one on {new}?",
            "[No, thanks|That's too late for me].",
          ],
          deed: ["says it was called off and offers {new}, which is declined"],
        },
      ],
      problem: ["has a question about the {course} on {start}", "asks about a place in the {course}"],
    },
    {
      id: "course-cancel",
      facts: {
        course,
        start: days(2, 20),
        price: money(60, 350),
        half: money(20, 50),
        why: among([["I got a new job", "of a new job"], ["I broke my wrist", "of a broken wrist"], [
          "my shifts changed",
          "the shifts changed",
        ], ["it's harder than I thought", "it is too hard"]]),
      },
      openings: [
        "I have to [cancel|drop out of] the {course} that starts on {start}, because {why}.",
        "{why}, so I can't [come to|do] the {course}[ on {start}|]. [Do I get my money back|What now]?",
        "Please take me off the list for the {course}. {why}.",
      ],
      questions: [
        ["Have you paid already?", "[Yes, {price}|The full {price}]."],
        ["Would a later one [suit you|be possible]?", "[No|I can't say yet|Maybe next year]."],
      ],
      outcomes: [
        {
          turns: [
            "I've taken you [off|from] the list; {price} is [credited|kept as a credit] for another course.",
            "[Good|Thanks, that's fair].",
          ],
          deed: [
            "takes the customer off the list and keeps {price} as a credit",
            "turns the {price} into a credit",
          ],
        },
        {
          turns: [
            "It's less than two weeks away, so we [keep|charge] {half}[, the rest comes back|].",
            "[Okay|A pity, but okay|I understand].",
          ],
          deed: ["cancels it but keeps {half}", "takes back the booking for a charge of {half}"],
        },
        {
          turns: [
            "You may [send|name] somebody else [instead|in your place].",
            "[Oh, my sister would love that|My neighbour might|Good idea, I'll ask around].",
          ],
          deed: ["suggests sending somebody else instead", "lets the customer name a replacement"],
        },
      ],
      problem: ["wants to drop out of the {course} because {why.s}", "cancels the {course} because {why.s}"],
    },
    {
      id: "gift-card",
      facts: {
        amount: among(["$25", "$50", "$75", "$100", "$150"]),
        card: code("#### ####", "GC-#####"),
        rest: among(["$3", "$6", "$8", "$11", "$14", "$19"]),
        new: days(60, 180),
        who,
      },
      openings: [
        "[I have|I got] a gift card over {amount} from {who} and it's [not accepted|declined].",
        "The till [refused|didn't take] my gift card[, {amount} from {who}| of {amount}]!",
        "I tried to pay with a {amount} gift card and [nothing happened|it says zero]. It's from {who}.",
      ],
      questions: [
        ["What is the number on it?", "{card}[, I hope I read that right|]."],
        ["Has it been [used|scratched] before?", "[No|Once, for something small|I don't think so]."],
        ["Was it [bought|paid] online or in a shop?", "[Online|In a shop|I wasn't there]."],
      ],
      outcomes: [
        {
          turns: [
            "It wasn't [activated|switched on] at the till. [Now it is|I've done that]: you have {amount}.",
            "[It works|Accepted now], thanks!",
          ],
          deed: [
            "activates the card, so {amount} can be used",
            "finds that it was not activated and fixes that",
          ],
        },
        {
          turns: ["There's only {rest} left on it.", "[Strange|Oh, so I did use it], [okay|all right]."],
          deed: ["says only {rest} is left on it"],
        },
        {
          turns: ["It had expired, but I've [extended it|made it valid] until {new}."],
          deed: ["extends the expired card until {new}", "makes the expired card valid until {new}"],
        },
      ],
      problem: [
        "has a gift card of {amount} that is not accepted",
        "cannot pay with a gift card of {amount}",
      ],
    },
    {
      id: "gift-card-missing",
      facts: {
        amount: among(["$25", "$50", "$75", "$100", "$150"]),
        card: code("#### ####", "GC-#####"),
        who,
        bought: days(-8, -1),
        wrong: among([["there was a typo in the address", "a typo in the address"], [
          "the mail was caught as spam",
          "a spam filter",
        ], ["the payment was not confirmed", "an unconfirmed payment"]]),
      },
      openings: [
        "I bought a {amount} gift card for {who} and [it never arrived|the mail didn't come].",
        "[Where is|I'm still waiting for] the {amount} gift card I [paid|bought] on {bought}[ for {who}|]?",
        "It's {who}'s birthday and the {amount} gift card I ordered isn't there!",
      ],
      questions: [
        ["When did you order it?", "[On|It was] {bought}."],
        ["Should it come by mail or by post?", "[By mail|As a PDF|By email]."],
        ["Who is it for?", "[It's for|For] {who}."],
      ],
      outcomes: [
        {
          turns: [
            "I've sent it [again|once more], with the new number {card}; the old one is [void|blocked].",
            "[It's here|It came], [lovely|thanks]!",
          ],
          deed: ["sends a new card with the number {card}", "sends it again with the number {card}"],
        },
        {
          turns: ["I see, {wrong}. [You'll have it|It comes] within the hour."],
          deed: ["names {wrong.s} as the cause and promises it within the hour"],
        },
        {
          turns: [
            "I can't [find|see] that payment at all, so nothing was sent [or|and nothing was] charged.",
            "[Then I'll try again|Okay, I'll order a new one].",
          ],
          deed: ["finds no payment, so nothing was sent or charged"],
        },
      ],
      problem: [
        "bought a gift card of {amount} that has not arrived",
        "is waiting for a gift card of {amount}",
      ],
    },
    {
      id: "restaurant",
      facts: {
        people: count(3, 14),
        day: days(1, 12),
        at: time(18, 21),
        late: time(21, 22),
        what: among([
          ["one guest is in a wheelchair", "a wheelchair"],
          ["two of us are vegan", "vegan guests"],
          ["someone can't have nuts", "a nut allergy"],
          ["we bring a dog", "a dog"],
          ["it's a birthday", "a birthday"],
        ]),
        deposit: money(10, 25),
      },
      openings: [
        "I'd like [to book|to reserve|] a table for {people} on {day} at {at}[, please|].",
        "We're {people} people and [need|are looking for] a table on {day}[, maybe outside|].",
        "Do you have [room|a table] for {people} people on {day}? {what}.",
      ],
      questions: [
        ["[Inside or outside|Where would you like to sit]?", "[Outside, if it's warm|Inside|By the window]."],
        ["Anything we should know?", "[Yes,|Actually,] {what}."],
        ["At what time?", "[At|Around] {at}."],
      ],
      outcomes: [
        {
          turns: ["[That's fine|Gladly], your table is booked for {day} at {at}."],
          deed: ["books the table for {day} at {at}", "confirms the table on {day} at {at}"],
        },
        {
          turns: [
            "At that time we're full, but {late} [would work|is possible].",
            "[That's late, but okay|Fine, {late} then].",
          ],
          deed: [
            "can only offer {late}, which is accepted",
            "books it for {late}, since the earlier time is full",
          ],
        },
        {
          turns: [
            "For such a group we ask for a deposit of {deposit} [per|a] person.",
            "[No problem.|Okay, how do I pay?]",
            "I'll send [a link|you a payment link].",
          ],
          deed: ["asks for a deposit of {deposit} a person and sends a payment link"],
        },
      ],
      problem: ["wants a table for {people} on {day}", "asks about a table for {people} people on {day}"],
    },
  ],
};
