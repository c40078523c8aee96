/**
 * A shop: returns, refunds, warranty, wrong and missing things, codes, stock, prices.
 * Over 300 lines because it is one table of texts.
 */
import type { Desk } from "../intent.ts";
import { CLOTHES, DEVICES, PRODUCTS } from "../lists.ts";
import { among, code, count, days, money } from "../sources.ts";

const item = among(PRODUCTS);

/** The shop desk. */
export const shop: Desk = {
  companies: [
    "Brightmart",
    "Nordhaus",
    "Corner & Co",
    "Homely",
    "Marlow Stores",
    "Pinefield",
    "Tilda Market",
  ],
  referenceNoun: "order number",
  reference: code("#####", "@@-####", "####-##"),
  departments: ["returns", "billing", "online orders", "the warranty team"],
  intents: [
    {
      id: "return",
      facts: {
        item,
        bought: days(-25, -4),
        deadline: days(5, 14),
        why: among([
          ["it is much bigger than I thought", "it is too big"],
          ["my wife already owns one", "the household already has one"],
          ["the colour looks nothing like the photo", "the colour differs from the photo"],
          ["it makes a terrible noise", "it is too noisy"],
          ["I found I don't need it after all", "it is no longer needed"],
          ["it does not fit in our flat", "it does not fit at home"],
          ["it feels rather cheap", "the quality disappoints"],
        ]),
        fee: money(4, 9),
      },
      openings: [
        "I [bought|ordered] {a:item} from you on {bought} and I'd like to [send it back|return it], because {why}.",
        "Can I still return {a:item}? I got it on {bought}[, but| and] {why}.",
        "I need to [bring|give|send] back {a:item}. [To be honest,|The thing is,|Basically,] {why}.",
        "[How do returns work here?|What is your return policy?] I have {a:item} here and {why}.",
      ],
      questions: [
        [
          "Has the {item} been [used|opened]?",
          "[Only once|I only took it out of the box|I opened it, that's all].",
        ],
        [
          "Do you still have the [packaging|original box]?",
          "[Yes, all of it|Yes, the box is in the hall|The box is a bit torn, but yes].",
        ],
        ["When did you [buy|receive] it?", "[On|It was on] {bought}."],
      ],
      outcomes: [
        {
          turns: [
            "That's [fine|no problem]. I'm emailing you a [prepaid|free] return label; please [post|drop off] the parcel by {deadline}.",
            "[Great|Perfect], I'll do that [this week|tomorrow|soon].",
          ],
          deed: [
            "sends a free return label to be used by {deadline}",
            "accepts the return and emails a label valid until {deadline}",
          ],
        },
        {
          turns: [
            "You can return it, but since the box was opened there is a [return|handling] fee of {fee}.",
            "[Hmm, fine|All right|That seems fair], [please go ahead|let's do it].",
            "[Done|It's arranged]: a courier [collects|picks up] the {item} on {deadline}.",
          ],
          deed: [
            "accepts the return for a fee of {fee} and books a collection on {deadline}",
            "arranges a pick-up on {deadline} and charges {fee}",
          ],
        },
        {
          turns: [
            "I'm afraid the [return period|30 day window] is over[, so I cannot refund it|]. I could offer you store credit [instead|as a gesture].",
            "[Store credit is okay|I'll take the credit|Better than nothing, okay].",
          ],
          deed: [
            "explains that the return period is over and gives store credit instead",
            "cannot refund it any more and offers store credit, which is accepted",
          ],
        },
      ],
      problem: [
        "wants to return {a:item} because {why.s}",
        "asks to send back {a:item} since {why.s}",
        "would like to return {a:item} bought on {bought} because {why.s}",
      ],
    },
    {
      id: "refund-missing",
      facts: { item, amount: money(15, 480), sent: days(-30, -12), by: days(2, 6) },
      openings: [
        "I [returned|sent back] {a:item} on {sent} and I still [haven't seen|don't have|am waiting for] my {amount}.",
        "Where is my refund? The {item} went back on {sent}, and {amount} is [still missing|not in my account].",
        "It's about a refund of {amount}. You [got|received] the {item} [weeks ago|ages ago|some time ago] and nothing has happened.",
      ],
      questions: [
        [
          "How did you pay [for it|at the time]?",
          "[By credit card|With PayPal|By bank transfer|With a debit card].",
        ],
        [
          "Do you have the [tracking receipt|proof of postage]?",
          "[Yes, it says you signed for it on {sent}|Yes, I kept it|I think I threw it away, sorry].",
        ],
        [
          "Did you get an email that [confirms the return|we received it]?",
          "[Yes, a while ago|No, nothing at all|Only an automatic reply].",
        ],
      ],
      outcomes: [
        {
          turns: [
            "I see the return was [booked in|registered] but the refund was never [released|triggered]. I've done that now: {amount} will [arrive|be with you] by {by}.",
            "[Finally|Good to hear|Okay, that's all I wanted].",
          ],
          deed: [
            "releases the refund of {amount}, which should arrive by {by}",
            "finds the refund was never triggered and sends it, due by {by}",
          ],
        },
        {
          turns: [
            "Our warehouse [has not scanned|cannot find] your parcel yet. I've opened a search and will [email|write to] you by {by}.",
            "[And if you don't find it?|What if it is lost?]",
            "Then [you get the full {amount} anyway|we pay you the {amount} all the same].",
          ],
          deed: [
            "starts a search for the parcel with an answer by {by} and promises the {amount} in any case",
            "opens a search in the warehouse and guarantees {amount} even if the parcel is lost",
          ],
        },
        {
          turns: [
            "The money went out, but to a card that has [expired|been replaced]. Please give me [another account|new bank details] through the secure form I just sent.",
            "[I've filled it in|Okay, just did it|One moment... sent].",
            "[Thank you|Perfect]. The {amount} [should be there|will show] by {by}.",
          ],
          deed: ["finds that the refund went to an old card and sends {amount} again, to arrive by {by}"],
        },
      ],
      problem: [
        "has not received a refund of {amount} for a returned {item}",
        "is waiting for {amount} back after returning {a:item}",
        "complains that the refund of {amount} for {a:item} has not arrived",
      ],
    },
    {
      id: "warranty",
      facts: {
        item: among(DEVICES),
        months: count(5, 34),
        fault: among([
          ["won't switch on any more", "does not switch on"],
          ["keeps turning itself off", "turns itself off"],
          ["has a crack right through it", "is cracked"],
          ["smells of burning when I use it", "smells of burning"],
          ["is making a grinding sound", "makes a grinding sound"],
          ["loses its charge or trips the fuse", "has an electrical fault"],
          ["has a handle that snapped off", "has a broken handle"],
        ]),
        cost: money(25, 90),
        by: days(6, 20),
      },
      openings: [
        "My {item} {fault}[ and it's only {months} months old|, after {months} months]. Is that [covered|under warranty]?",
        "I have a [warranty question|problem]: the {item} I bought {months} months ago {fault}.",
        "[So|Well], the {item} {fault}. I've had it for {months} months[ and took good care of it|]. What can you do?",
      ],
      questions: [
        [
          "Could you send me a [photo|picture] of the damage?",
          "[Just uploaded it|Sure, here it is|Sent, can you see it?]",
        ],
        [
          "Have you [already tried|tried] [another socket|the steps in the manual]?",
          "[Yes, no difference|I tried everything|Of course, it didn't help].",
        ],
        [
          "Do you have the [receipt|invoice]?",
          "[Yes, somewhere in my mails|I have the PDF|Only the bank statement].",
        ],
      ],
      outcomes: [
        {
          turns: [
            "Good news, it is [covered|within the warranty]. We'll [send|ship] you a new one by {by}[, and you can keep the old one|].",
          ],
          deed: ["confirms the warranty and sends a new one by {by}", "replaces it under warranty by {by}"],
        },
        {
          turns: [
            "The warranty [covers this|applies]. Our workshop will [repair|fix] it; the courier comes on {by}.",
            "[How long will it take?|And how long do I have to wait?]",
            "[Usually|About] two weeks.",
          ],
          deed: ["arranges a repair under warranty with collection on {by}, taking about two weeks"],
        },
        {
          turns: [
            "I'm sorry, the warranty [ended|ran out], so a repair would cost {cost}.",
            "[That's too much, I'll leave it|No thanks, then I'd rather buy a new one|For that money I won't bother].",
          ],
          deed: ["says the warranty is over and offers a repair for {cost}, which is declined"],
        },
        {
          turns: [
            "The warranty [ended|ran out], but we can repair it for {cost}.",
            "[Okay, do it|Fine, please repair it|I'll pay that].",
          ],
          deed: ["says the warranty is over and arranges a paid repair for {cost}"],
        },
      ],
      problem: [
        "asks about the warranty because the {item} {fault.s}",
        "reports that the {item}, {months} months old, {fault.s}",
        "has {a:item} that {fault.s} after {months} months",
      ],
    },
    {
      id: "wrong-item",
      facts: { item, got: among(PRODUCTS), by: days(2, 7), credit: money(5, 20) },
      openings: [
        "I ordered {a:item} and [got|received|you sent me] {a:got}[ instead|!].",
        "There's been a mix-up: in the box was {a:got}, not the {item} I [paid for|ordered].",
        "[Your warehouse made a mistake.|Something went wrong.] I wanted {a:item} and now I have {a:got} on my table.",
      ],
      questions: [
        [
          "Is the [label|sticker] on the box yours?",
          "[Yes, my name is on it|It has my address, yes|Let me look... yes].",
        ],
        [
          "Is the {got} [unopened|still sealed]?",
          "[Yes, I didn't touch it|No, I had to open it to see what it was|Still wrapped].",
        ],
        ["Do you still want the {item}?", "[Yes, of course|Yes, it's a present|I do, and soon please]."],
      ],
      outcomes: [
        {
          turns: [
            "The {item} [goes out today|is on its way now] and [should reach you|will be there] by {by}. The driver takes the {got} back.",
          ],
          deed: [
            "sends the {item} by {by} and has the {got} collected",
            "ships the right item to arrive by {by} and takes back the {got}",
          ],
        },
        {
          turns: [
            "Sadly the {item} is [sold out|no longer in stock]. I can only [refund|pay back] you in full.",
            "[What a pity, then refund it|Okay, then the money back please].",
            "[Will do|It's done]. Keep the {got} [as an apology|for the trouble].",
          ],
          deed: ["refunds the order because the {item} is sold out, and lets the customer keep the {got}"],
        },
        {
          turns: [
            "I'll send the {item} with express, there by {by}, and I've added a {credit} voucher [for the trouble|as an apology].",
          ],
          deed: [
            "sends the {item} by express until {by} and adds a voucher of {credit}",
            "corrects the order by {by} and gives {credit} as a voucher",
          ],
        },
      ],
      problem: [
        "received {a:got} instead of {a:item}",
        "ordered {a:item} but got {a:got}",
        "was sent {a:got} by mistake instead of {a:item}",
      ],
    },
    {
      id: "damaged",
      facts: {
        item,
        damage: among([
          ["there is a hole in it", "a hole"],
          ["one side is dented", "a dent"],
          ["there's a long scratch", "a long scratch"],
          ["it is bent out of shape", "a bent frame"],
          ["it is cracked", "a crack"],
          ["it is soaked through", "water damage"],
          ["two screws and a panel are missing", "missing parts"],
        ]),
        off: money(10, 60),
        by: days(2, 8),
      },
      openings: [
        "My {item} [was delivered|arrived|came] [today|yesterday|this morning] and {damage}.",
        "I just unpacked the {item} and {damage}[. I'm really disappointed|!].",
        "[Look at|Have a look at] the {item} you sent me: {damage}[, straight out of the box|].",
      ],
      questions: [
        [
          "Was the [box|outer packaging] damaged [too|as well]?",
          "[Yes, badly|No, it looked perfect|A little at the bottom].",
        ],
        ["Can you [attach|send] a photo?", "[Done|Here you go|I've sent two pictures]."],
        [
          "Would you [rather|prefer to] keep it with a discount or get a new one?",
          "[Depends on the discount|I'd like one that works, please|I'm not sure, what do you suggest?]",
        ],
      ],
      outcomes: [
        {
          turns: [
            "I've ordered a [replacement|new {item}]; it [comes|arrives] by {by} and you [needn't|don't have to] return the broken one.",
          ],
          deed: [
            "orders a replacement for {by} without asking for the broken one back",
            "promises a replacement by {by}",
          ],
        },
        {
          turns: [
            "If you keep it, I can take {off} off the price.",
            "[Make it so|That works for me|Deal].",
          ],
          deed: ["gives a discount of {off} and the customer keeps it", "takes {off} off the price"],
        },
        {
          turns: [
            "Would {off} off be all right if you keep it?",
            "No, I want [my money back|a full refund].",
            "[Understood|Of course]. You get a full refund once the courier has [collected|fetched] it on {by}.",
          ],
          deed: ["offers {off} off, but finally agrees to a full refund with a collection on {by}"],
        },
      ],
      problem: [
        "reports that the {item} arrived with {damage.s}",
        "received a damaged {item} with {damage.s}",
        "complains about {damage.s} on a new {item}",
      ],
    },
    {
      id: "discount-code",
      facts: {
        item,
        code: code("SAVE##", "HELLO##", "@@@##", "SPRING#"),
        off: money(5, 45),
        least: money(50, 120),
        until: days(5, 20),
      },
      openings: [
        "The [code|voucher] {code} [doesn't work|is rejected|gives an error] when I try to buy {a:item}.",
        "I [wanted to use|typed in] {code} at the checkout for {a:item} and it says [invalid|not applicable].",
        "Why can't I use {code}? I [only want|am trying to order] {a:item}.",
      ],
      questions: [
        [
          "What is the total in your [cart|basket]?",
          "[Just the {item}|Let me see... it's only the {item}|The {item} and delivery, nothing else].",
        ],
        ["Where did you get the code?", "[From your newsletter|A friend passed it on|It was on the flyer]."],
        [
          "Is there a [space|typo] at the end?",
          "[No, I copied it|I checked twice|Oh, I tried without, same thing].",
        ],
      ],
      outcomes: [
        {
          turns: [
            "{code} needs a minimum [order|purchase] of {least}. [If you add something, it works|With a bit more in the basket it will work].",
            "[Ah, that explains it|I see, I'll add a small thing].",
          ],
          deed: [
            "explains that {code} requires an order of at least {least}",
            "says the code only works from {least} on",
          ],
        },
        {
          turns: [
            "That code expired, but I'll [take {off} off by hand|give you {off} off anyway]. Just place the order[ now|].",
          ],
          deed: [
            "says the code has expired but grants {off} off anyway",
            "takes {off} off by hand although the code expired",
          ],
        },
        {
          turns: [
            "There was a technical fault [on our side|with the shop]. I've reset {code}; it is now good until {until}.",
            "[It worked|Yes, accepted now]!",
          ],
          deed: [
            "resets {code}, which is now valid until {until}",
            "fixes the fault so that the code works until {until}",
          ],
        },
      ],
      problem: [
        "cannot use the code {code} to buy {a:item}",
        "says the code {code} is rejected at the checkout",
        "has trouble with the discount code {code}",
      ],
    },
    {
      id: "exchange-size",
      facts: {
        item: among(CLOTHES),
        size: among([["too tight", "too tight"], ["far too loose", "too loose"], [
          "rather short",
          "too short",
        ], ["a little too long", "too long"]]),
        want: among([
          "a small",
          "a medium",
          "a large",
          "an extra large",
          "size 38",
          "size 40",
          "size 42",
          "size 44",
        ]),
        by: days(3, 9),
      },
      openings: [
        "The {item} is {size}. Can I [swap|exchange] it for {want}?",
        "I'd like to exchange {a:item}. It's {size}, so I'd need {want}.",
        "[Lovely {item}, but it is|Sadly the {item} is] {size} on me. Do you have {want}?",
      ],
      questions: [
        [
          "Are the [tags|labels] still on?",
          "[Yes, all of them|Yes, I only tried it on|I cut one off, is that a problem?]",
        ],
        ["Same colour[ as before|]?", "[Yes please|Yes, the same|Blue if possible, otherwise the same]."],
      ],
      outcomes: [
        {
          turns: [
            "We have {want} [in stock|left]. It [ships today|goes out tonight] and should be with you by {by}; return the other one in the same bag.",
          ],
          deed: ["arranges an exchange for {want}, arriving by {by}", "sends {want} by {by} in exchange"],
        },
        {
          turns: [
            "{want} is [sold out|gone], I'm sorry. It will be back on {by}; shall I reserve one?",
            "[Yes, reserve it|Please do|Yes, I can wait].",
          ],
          deed: [
            "reserves {want}, which is back in stock on {by}",
            "says {want} is sold out and reserves one for {by}",
          ],
        },
        {
          turns: [
            "That size is [not made|discontinued]. I can only offer [your money back|a refund].",
            "[All right, a refund then|Okay, then refund me].",
          ],
          deed: ["cannot supply that size and refunds the order instead"],
        },
      ],
      problem: [
        "wants to exchange {a:item} that is {size.s} for {want}",
        "asks for {want} because the {item} is {size.s}",
      ],
    },
  ],
};
