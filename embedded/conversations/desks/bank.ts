/**
 * A bank: cards, charges, transfers, cash machines, loans, accounts.
 * Over 300 lines because it is one table of texts.
 */
import type { Desk } from "../intent.ts";
import { CITIES } from "../lists.ts";
import { among, code, count, days, money } from "../sources.ts";

const shopName = among([
  "Cloudmusic",
  "Petworld",
  "GameHub",
  "Fitclub",
  "Ticketbay",
  "Sushi Express",
  "Quickfuel",
  "Shoeland",
]);

/** The bank desk. */
export const bank: Desk = {
  companies: [
    "First Harbour Bank",
    "Alpenbank",
    "Unity Credit",
    "Northgate Bank",
    "Penny Bank",
    "Civic Savings",
  ],
  referenceNoun: "account number",
  reference: code("######", "##-#####", "########"),
  departments: ["cards", "loans", "payments", "online banking"],
  intents: [
    {
      id: "card-lost",
      facts: {
        where: among([
          "on the train",
          "in a taxi",
          "at the gym",
          "at a concert",
          "somewhere in town",
          "at the supermarket",
          "on holiday",
        ]),
        ending: count(1001, 9899),
        used: money(8, 90),
        by: days(3, 8),
        fee: money(5, 15),
      },
      openings: [
        "I've lost my [bank card|credit card|card] {where}. [Please block it!|Can you block it right away?|What now?]",
        "My [wallet|purse] disappeared {where}, with my card in it.",
        "[I can't find my card|My card is gone], I must have [left|dropped] it {where}.",
      ],
      questions: [
        ["What are the last four digits?", "{ending}[, I think|]."],
        [
          "Do you recognise the last payment[, {used} at a kiosk|: {used}]?",
          "[Yes, that was me|{used}? Yes|Yes, that's mine].",
        ],
        ["Have you told the police?", "[Not yet|Yes, this morning|I'm on the way]."],
      ],
      outcomes: [
        {
          turns: [
            "[Blocked|Your card is blocked]. A new one [comes|will be with you] by {by}, and the PIN [stays the same|follows separately].",
          ],
          deed: ["blocks the card and sends a new one by {by}", "blocks it; the replacement arrives by {by}"],
        },
        {
          turns: [
            "I've blocked it. [Shall we|Should I] send a new one for {fee}?",
            "[Yes please|Of course|Do I have a choice? Yes].",
            "It will [arrive|come] by {by}.",
          ],
          deed: ["blocks the card and orders a new one for {fee}, due by {by}"],
        },
        {
          turns: [
            "I've [frozen|paused] it for now; if it turns up, you can [unfreeze|activate] it in the app.",
            "[Wait, I just found it in my coat!|Good idea, I'll look at home again first]",
          ],
          deed: ["freezes the card for the time being, so it can be reactivated in the app"],
        },
      ],
      problem: ["lost a bank card {where}", "reports a card lost {where}"],
    },
    {
      id: "unknown-charge",
      facts: { amount: money(9, 320), shop: shopName, on: days(-12, -1), by: days(4, 12) },
      openings: [
        "There's a [charge|payment] of {amount} to {shop} on my account that I [don't recognise|never made].",
        "Who is {shop} and why did they [take|get] {amount} from me[ on {on}|]?",
        "I see {amount} for {shop} on my statement. [That's not mine|I've never bought anything there].",
      ],
      questions: [
        ["[When was|What is the date of] the charge?", "[On|It says] {on}."],
        ["Does [anyone else|someone in the family] use your card?", "[No|My son, sometimes|Nobody]."],
        ["Could it be a [free trial|subscription] that ran out?", "[No way|Hm, maybe|I never signed up]."],
      ],
      outcomes: [
        {
          turns: [
            "I'm [returning|crediting] the {amount} [now|provisionally] and replacing your card, as it was probably [copied|stolen]. The new one comes by {by}.",
          ],
          deed: [
            "credits {amount} and replaces the card by {by}",
            "returns the {amount} and sends a new card by {by}",
          ],
        },
        {
          turns: [
            "It's a subscription [taken out|started] from your phone. You'd have to cancel it with {shop}.",
            "[Oh, that was my daughter|Oh dear, now I remember|I see. I'll do that].",
          ],
          deed: ["finds that it is a subscription, which must be cancelled with {shop}"],
        },
        {
          turns: [
            "I've opened a [dispute|complaint] with {shop}; [we|the bank] will have a result by {by}.",
            "[And my money?|Do I get it back?]",
            "[If they cannot prove it, yes|You'll get it back unless they prove the purchase].",
          ],
          deed: ["opens a dispute with {shop} with a result by {by}"],
        },
      ],
      problem: [
        "does not recognise a charge of {amount} from {shop}",
        "asks about an unknown payment of {amount} to {shop}",
      ],
    },
    {
      id: "transfer",
      facts: {
        amount: money(120, 2900),
        to: among([
          "my landlord",
          "my sister",
          "a plumber",
          "the university",
          "my son",
          "a car dealer",
          "the tax office",
        ]),
        on: days(-6, -2),
        by: days(1, 3),
      },
      openings: [
        "I [sent|transferred] {amount} to {to} on {on} and it [hasn't arrived|never arrived].",
        "My transfer of {amount} is [stuck|pending] since {on}. [It's for {to}|{to} is waiting for it].",
        "I think I [mistyped|got wrong] the account number when I sent {amount} to {to}!",
      ],
      questions: [
        [
          "Can you read me the [status|message]?",
          "[It says pending|It says under review|There's only a yellow dot].",
        ],
        [
          "Is the name of the recipient [spelled right|correct]?",
          "[Yes|I copied it|I think there's a letter missing].",
        ],
        [
          "Was it a [normal|standard] or an instant transfer?",
          "[A normal one|Instant, supposedly|I don't know the difference].",
        ],
      ],
      outcomes: [
        {
          turns: [
            "It was [held|stopped] by our fraud check. I've [released|approved] it; it [arrives|gets there] by {by}.",
            "[Great|Phew|Good, they're getting nervous].",
          ],
          deed: [
            "releases the transfer from a fraud check, to arrive by {by}",
            "approves it after a check; it arrives by {by}",
          ],
        },
        {
          turns: [
            "The account doesn't exist, so the {amount} [bounces|comes back] to you by {by}. [Then|After that] please send it again.",
          ],
          deed: [
            "says the account does not exist and the {amount} comes back by {by}",
            "explains that the money returns by {by} and must be sent again",
          ],
        },
        {
          turns: [
            "It has [reached|left for] another person's account. I've [asked|written to] their bank, but they [must|need to] agree.",
            "[Oh no|That's bad news]. [How long does it take|When will I know]?",
            "You'll [know|hear more] by {by}.",
          ],
          deed: ["asks the other bank for the money back and expects an answer by {by}"],
        },
      ],
      problem: [
        "asks about a transfer of {amount} that has not gone through properly",
        "has a problem with a transfer of {amount}",
      ],
    },
    {
      id: "cash-machine",
      facts: {
        amount: among(["$50", "$100", "$200", "$300", "$400"]),
        city: among(CITIES),
        got: among(["nothing", "only half"]),
        on: days(-5, -1),
        by: days(3, 9),
      },
      openings: [
        "The [cash machine|ATM] in {city} gave me {got}, but {amount} was taken from my account.",
        "I wanted {amount} from your machine in {city}, it [rattled|made noises] and gave me {got}!",
        "Your machine in {city} [ate|kept] my money[ on {on}|]: I tried to take out {amount} and got {got}.",
      ],
      questions: [
        ["Did you [get|keep] a receipt?", "[No|It printed an error|Yes, with a code]."],
        ["[What day|When] was it?", "[On|It happened on] {on}."],
        ["Was anyone [standing close|behind you]?", "[No|A man, a bit too close|I didn't look]."],
      ],
      outcomes: [
        {
          turns: [
            "The machine had [too much|extra] money in the count, so your claim is [right|correct]. We [credit|pay] the difference by {by}.",
          ],
          deed: [
            "confirms the error and credits the difference by {by}",
            "agrees to pay back the difference by {by}",
          ],
        },
        {
          turns: [
            "The machine gets [counted|checked] by {by}; then we [decide|tell you].",
            "[So long?|Can't it be faster?]",
            "[I'm afraid not|Sorry, that's the procedure].",
          ],
          deed: [
            "says the machine will be checked by {by} before a decision",
            "has the machine counted until {by}",
          ],
        },
      ],
      problem: [
        "got {got} from a cash machine in {city} when taking out {amount}",
        "reports a faulty cash machine in {city} over {amount}",
      ],
    },
    {
      id: "loan",
      facts: {
        amount: among(["5,000", "8,000", "12,000", "15,000", "20,000", "30,000"]),
        purpose: among(["a used car", "a new kitchen", "a wedding", "a boat", "solar panels", [
          "my studies",
          "university",
        ], "a new roof"]),
        years: count(2, 8),
        rate: among(["4.9", "5.5", "6.2", "7.1", "3.8"]),
        pay: count(110, 590),
        day: days(2, 8),
      },
      openings: [
        "I'd like to borrow {amount} for {purpose}. [What are your terms|Is that possible]?",
        "[How much would a loan of {amount} cost me|What would I pay for {amount}]? It's for {purpose}.",
        "I'm planning {purpose} and need {amount}.",
      ],
      questions: [
        ["Over how many years?", "[Perhaps|Around|I thought of] {years}."],
        ["Do you have other loans?", "[None|A small one|Just the mortgage]."],
        ["Is your income [regular|fixed]?", "[Yes, I'm a teacher|I'm self-employed|Yes, full time]."],
      ],
      outcomes: [
        {
          turns: [
            "Over {years} years that's {rate} percent, [so|about] {pay} a month.",
            "[That's okay|I can manage that|Sounds good].",
            "[Then|Good,] I'll send you the contract [to sign|today].",
          ],
          deed: [
            "offers {rate} percent over {years} years at {pay} a month and sends the contract",
            "sends a contract over {years} years with {pay} a month",
          ],
        },
        {
          turns: [
            "We should [discuss|go through] that in person. [Could you come|Is it possible] on {day}?",
            "[Yes|That suits me|In the afternoon, yes].",
          ],
          deed: ["makes an appointment on {day} to discuss it", "invites the customer to a meeting on {day}"],
        },
        {
          turns: [
            "With your [current|present] income we can't lend that much; {pay} a month would be too [much|high].",
            "[A pity|I was afraid of that|Okay, then I'll save up].",
          ],
          deed: ["declines because the income is too low for {pay} a month"],
        },
      ],
      problem: ["wants to borrow {amount} for {purpose.s}", "asks about a loan of {amount} for {purpose.s}"],
    },
    {
      id: "online-banking",
      facts: {
        app: among(["app", "website", "login page"]),
        error: count(101, 999),
        device: among(["phone", "tablet", "laptop"]),
        tries: count(3, 6),
        minutes: among(["15", "20", "30", "60"]),
      },
      openings: [
        "I can't log in to the {app}[, it shows error {error}|: error {error}].",
        "The {app} has [locked me out|blocked me] after {tries} tries.",
        "I have a new {device} and the {app} [doesn't know me any more|refuses my PIN].",
      ],
      questions: [
        ["Is the [app|browser] up to date?", "[Yes|I updated it today|How do I see that?]"],
        ["What [exactly|] does it say?", "[Access denied, code|Error] {error}."],
        ["Which device do you use?", "[My|An old] {device}."],
      ],
      outcomes: [
        {
          turns: [
            "I've [unlocked|reset] your access. Wait {minutes} minutes and [log in|try again].",
            "[Okay, I'll wait|Will do].",
          ],
          deed: [
            "unlocks the access, to be tried again after {minutes} minutes",
            "resets the login and asks to wait {minutes} minutes",
          ],
        },
        {
          turns: [
            "You need to [register|pair] your {device} again. I've sent a letter with a [new|second] code.",
            "[By post? How old-fashioned|Okay, I'll look out for it].",
          ],
          deed: ["posts a new activation code to register the {device}"],
        },
        {
          turns: [
            "Error {error} is [known|a fault on our side]; it's [fixed|repaired] in about {minutes} minutes.",
            "[Then I'll make tea|Good that it isn't me].",
          ],
          deed: ["explains that error {error} is a known fault, solved in about {minutes} minutes"],
        },
      ],
      problem: [
        "cannot log in to online banking",
        "is locked out of online banking",
        "has login trouble with the bank's {app}",
      ],
    },
  ],
};
