/**
 * A telephone and internet company: outages, roaming, bills, SIM cards, numbers, contracts.
 * Over 300 lines because it is one table of texts.
 */
import type { Desk } from "../intent.ts";
import { STREETS } from "../lists.ts";
import { among, code, count, days, money, time } from "../sources.ts";

/** The telecom desk. */
export const telecom: Desk = {
  companies: ["Voxline", "Telfire", "Hallo Mobile", "Netwave", "Bluecell", "Fibrenet", "Skylark Telecom"],
  referenceNoun: "customer number",
  reference: code("######", "K-#####", "##-####"),
  departments: ["mobile", "home internet", "billing", "contracts"],
  intents: [
    {
      id: "internet-outage",
      facts: {
        since: among([
          "this morning",
          "last night",
          "yesterday noon",
          "Monday",
          "the storm",
          "about an hour ago",
        ]),
        street: among(STREETS),
        light: among(["red", "orange", "blinking white", "completely off"]),
        at: time(8, 20),
        day: days(1, 4),
        credit: money(5, 20),
      },
      openings: [
        "My internet has been [down|dead|off] since {since}. [I work from home, so this is bad.|Is there an outage?|What's going on?]",
        "[No internet|No connection at all] since {since} here in {street}.",
        "[The wifi|The line] is gone since {since} and [restarting doesn't help|I've restarted everything].",
      ],
      questions: [
        [
          "What [colour is the light|does the light look like] on the router?",
          "[It's|The light is] {light}.",
        ],
        [
          "Have you [unplugged|restarted] the router[ for a minute|]?",
          "[Three times|Yes, twice|Yes, first thing I did].",
        ],
        ["Which street is it?", "[It's|We're in] {street}."],
      ],
      outcomes: [
        {
          turns: [
            "There is a [broken cable|fault] in your area. Our people expect to be finished [at|by] {at}[ today|].",
            "[Okay, then I wait|Thanks, good to know|At least it's not my router].",
          ],
          deed: [
            "reports a fault in the area that should be fixed by {at}",
            "says a local fault will be repaired by {at}",
          ],
        },
        {
          turns: [
            "Your line [looks|tests] fine, so it's the router. A [technician|colleague] [visits you|comes] on {day} at {at}.",
          ],
          deed: [
            "suspects the router and sends a technician on {day} at {at}",
            "books a technician for {day} at {at}",
          ],
        },
        {
          turns: [
            "I've [reset|restarted] the line from here. [Do you see a green light|Is it back]?",
            "[Yes, it works|Oh, it's back!|Green, yes].",
            "[Great|Wonderful]. I'm also taking {credit} off your next bill.",
          ],
          deed: [
            "resets the line, which fixes it, and takes {credit} off the next bill",
            "solves it by a remote reset and grants {credit}",
          ],
        },
      ],
      problem: [
        "has had no internet since {since}",
        "reports that the connection has been down since {since}",
      ],
    },
    {
      id: "slow-internet",
      facts: {
        have: count(3, 28),
        paid: among(["100", "250", "500"]),
        when: among([
          "in the evening",
          "on weekends",
          "all day long",
          "when it rains",
          "after eight at night",
        ]),
        day: days(2, 6),
        credit: money(5, 15),
      },
      openings: [
        "I pay for {paid} megabits and get {have}, {when}. [That's a joke|Why is that|Not good]!",
        "The internet is [terribly|so] slow {when}: {have} megabits [at best|in the speed test].",
        "My speed test shows {have} [megabits|Mbit] {when}, my contract says {paid}.",
      ],
      questions: [
        [
          "Did you [test|measure] it with a cable or by wifi?",
          "[With a cable|Both, same result|Only by wifi].",
        ],
        ["How many [people|devices] are [online|connected]?", "[Just me|Four of us|Two laptops and a TV]."],
        [
          "Is the router [in a cupboard|close to the TV]?",
          "[No, it's in the open|It's behind the sofa|Yes, in a cabinet].",
        ],
      ],
      outcomes: [
        {
          turns: [
            "I've moved you to a less [crowded|busy] channel. [Try|Test] again, please.",
            "[Much better|Wow, that helped|It's faster now]!",
          ],
          deed: [
            "changes the channel, after which the speed is fine",
            "solves it by switching to a less busy channel",
          ],
        },
        {
          turns: [
            "Your router is [outdated|too old]. A new one is [on the way|being shipped], free of charge, and [arrives|comes] on {day}.",
          ],
          deed: ["sends a new router free of charge for {day}", "replaces the old router on {day}"],
        },
        {
          turns: [
            "The node [near you|in your area] is overloaded and gets upgraded on {day}. Until then I [reduce|cut] your bill by {credit}.",
            "[Okay, that's fair|I can live with that].",
          ],
          deed: ["announces an upgrade on {day} and cuts the bill by {credit} until then"],
        },
      ],
      problem: ["complains about slow internet of only {have} megabits", "gets just {have} megabits {when}"],
    },
    {
      id: "roaming",
      facts: {
        amount: money(40, 390),
        country: among([
          "Switzerland",
          "Turkey",
          "Morocco",
          "Serbia",
          "Thailand",
          "Egypt",
          "Mexico",
          "Andorra",
        ]),
        length: count(2, 14),
        part: money(20, 38),
        pass: money(6, 15),
      },
      openings: [
        "[I just opened my bill and nearly fainted:|My bill is crazy:] {amount} for roaming in {country}!",
        "You charged me {amount} for data in {country}. [I was only there for {length} days|I hardly used the phone].",
        "Can you explain {amount} of roaming? I spent {length} days in {country}.",
      ],
      questions: [
        [
          "Did you get the [welcome message|text message] with the prices?",
          "[No|Maybe, I didn't read it|I don't remember one].",
        ],
        [
          "Was data roaming [switched on|active] in your settings?",
          "[It seems so|I thought it was off|Yes, for maps].",
        ],
        ["How long were you there?", "[Only|About] {length} days."],
      ],
      outcomes: [
        {
          turns: [
            "As a [one-time|single] exception I [take off|cancel] the roaming and charge only a day pass of {pass}.",
            "[That's very kind|Oh, thank you so much|Puh, thanks]!",
          ],
          deed: [
            "cancels the charge as an exception and bills only a day pass of {pass}",
            "waives it once except for {pass}",
          ],
        },
        {
          turns: [
            "{country} is outside your [zone|plan], so the charge [stands|is correct]. I can [let you pay|split it] in three instalments.",
            "[If it must be|All right, then instalments].",
          ],
          deed: [
            "says the charge is correct because {country} is not in the plan, and splits it into three instalments",
          ],
        },
        {
          turns: [
            "The warning message was never sent[, as I see here|], so you only pay {part}.",
            "[Good|That's better|I accept that].",
          ],
          deed: [
            "reduces it to {part} because no warning was sent",
            "lowers the charge to {part}, as the warning message failed",
          ],
        },
      ],
      problem: [
        "disputes roaming charges of {amount} from {country}",
        "was billed {amount} for roaming in {country}",
      ],
    },
    {
      id: "sim",
      facts: {
        why: among([
          ["my phone was stolen on the bus", "the phone was stolen"],
          ["I lost my phone at the beach", "the phone is lost"],
          ["the SIM card broke when I took it out", "the SIM card broke"],
          ["my new phone needs an eSIM", "the new phone needs an eSIM"],
          ["the card isn't recognised any more", "the card is not recognised"],
        ]),
        fee: money(5, 12),
        by: days(2, 5),
        time: time(8, 19),
      },
      openings: [
        "I need a new SIM card[, please|]: {why}.",
        "[Help!|Hi, urgent:] {why}. [Can you block|What about] my SIM?",
        "{why}[, so I can't call anyone|, what can I do|]. I want to keep my number, of course.",
      ],
      questions: [
        ["[When did you last use it|When was it last working]?", "[Today around|I think at] {time}."],
        [
          "Do you want a [plastic card|card by post] or an eSIM?",
          "[Whatever is quicker|A plastic one|You decide].",
        ],
        [
          "What is your security [word|answer]?",
          "[The name of my dog, I'm typing it in the field|I've typed it into the form].",
        ],
      ],
      outcomes: [
        {
          turns: [
            "The old card is [blocked|locked]. A new one [comes by post|is in the mail] and [arrives|is there] by {by}; it costs {fee}.",
          ],
          deed: [
            "blocks the old card and posts a new one for {fee}, arriving by {by}",
            "locks the SIM and sends a replacement by {by} for {fee}",
          ],
        },
        {
          turns: [
            "I've [sent|emailed] you a QR code for an eSIM. Scan it and you're [online|back].",
            "[It works|Got signal], [thanks|wow, quick]!",
          ],
          deed: ["emails a code for an eSIM, which works at once", "issues an eSIM that works immediately"],
        },
        {
          turns: [
            "You can pick one up in any of our shops with your [passport|ID card]; it's free.",
            "[Then I'll go right away|Good, there's one nearby].",
          ],
          deed: ["tells where to get a free card: in any shop with an ID"],
        },
      ],
      problem: ["needs a new SIM because {why.s}", "asks for a replacement SIM card since {why.s}"],
    },
    {
      id: "number-porting",
      facts: {
        from: among(["Voxline", "Telfire", "Netwave", "Bluecell", "Hallo Mobile"]),
        planned: days(-4, -1),
        new: days(2, 9),
        bonus: money(10, 30),
      },
      openings: [
        "My number should have [moved|been transferred] from {from} on {planned}. [Nothing happened|It still hasn't].",
        "I'm switching from {from} and the [transfer|move] of my number [failed|didn't go through].",
        "How long does it take to bring my number over from {from}? [It was planned for {planned}|I was told {planned}].",
      ],
      questions: [
        [
          "Did you [give|grant] {from} permission to release it?",
          "[I think so|Yes, in their app|Oh. No, do I need to?]",
        ],
        ["Is the old contract in your name?", "[Yes|It's in my husband's name|It was in my company's name]."],
        ["Does the birth date match in both contracts?", "[It should|Yes, I checked|Maybe there's a typo]."],
      ],
      outcomes: [
        {
          turns: [
            "{from} [rejected|refused] it because the names differ. I've corrected [that|the name], and the new date is {new}.",
            "[Okay, fingers crossed|Good, please make sure it works].",
          ],
          deed: ["corrects the name that made {from} refuse and sets the transfer for {new}"],
        },
        {
          turns: [
            "I've [requested it again|restarted it]. Your number [moves|will be active here] on {new}, and we add a {bonus} bonus.",
          ],
          deed: [
            "starts the transfer again for {new} and adds a bonus of {bonus}",
            "sets {new} as the new date and credits {bonus}",
          ],
        },
        {
          turns: [
            "You need to [release|unlock] the number at {from} first; then it takes one working day.",
            "[Nobody told me that|I see, I'll do that now].",
          ],
          deed: ["explains that the number must first be released at {from}"],
        },
      ],
      problem: [
        "asks about a phone number that has not moved over from {from}",
        "has trouble bringing a number over from {from}",
      ],
    },
    {
      id: "phone-contract",
      facts: {
        price: money(25, 60),
        lower: money(10, 24),
        end: days(20, 90),
        gigs: count(5, 80),
        why: among([
          ["I'm moving abroad", "the customer is moving abroad"],
          ["I found something cheaper", "there are cheaper offers"],
          ["I get a phone from work", "a work phone is coming"],
          ["the reception here is awful", "the reception is bad"],
        ]),
      },
      openings: [
        "I want to [cancel|end] my contract[, please|]; {why}.",
        "[How can I cancel|How do I get out of] my {price} plan? {why}.",
        "Please cancel my mobile plan. {why}[, and {price} a month is too much|].",
      ],
      questions: [
        [
          "How much data do you [use|need] [per|each] month?",
          "[About|Maybe|Never more than] {gigs} gigabytes.",
        ],
        ["Would a [smaller|cheaper] plan be an option?", "[It depends on the price|Maybe|Not really]."],
        ["Do you want to keep your number?", "[Yes, please|No need|If possible]."],
      ],
      outcomes: [
        {
          turns: [
            "The contract [ends|runs out] on {end}; [I've sent the confirmation|the confirmation is in your inbox].",
            "[Perfect|That was easy].",
          ],
          deed: ["confirms the end of the contract on {end}", "cancels the contract as of {end}"],
        },
        {
          turns: [
            "What if I [offered|gave] you {gigs} gigabytes for {lower}?",
            "[Hm, that's tempting|Okay, for {lower} I stay|Deal].",
            "[Great|Lovely], the new price [counts|is valid] from now on.",
          ],
          deed: [
            "offers {gigs} gigabytes for {lower}, and the customer stays",
            "keeps the customer with a plan of {gigs} gigabytes for {lower}",
          ],
        },
        {
          turns: [
            "There's a minimum term until {end}. Leaving now would cost the [rest|remaining months].",
            "[So I have to wait|Then cancel it for that date|I see, then as of {end}].",
            "[Noted|It's noted].",
          ],
          deed: ["points out the minimum term and notes the cancellation for {end}"],
        },
      ],
      problem: [
        "wants to cancel a mobile contract because {why.s}",
        "asks how to end a mobile plan since {why.s}",
      ],
    },
  ],
};
