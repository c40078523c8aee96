/**
 * A software company: passwords, subscriptions, exports, licences, sync, hacked accounts.
 * Over 300 lines because it is one table of texts.
 */
import type { Desk } from "../intent.ts";
import { among, code, count, days, money } from "../sources.ts";

const product = among([
  "Notely",
  "Photobox",
  "TaskPilot",
  "Ledgerly",
  "StreamNest",
  "Mapkeeper",
  "Inkwell",
  "Cloudshelf",
]);

/** The software desk. */
export const software: Desk = {
  companies: ["Softbridge", "Appworks", "Lumen Software", "Tidewater", "Codefern", "Paperplane"],
  referenceNoun: "ticket number",
  reference: code("T-####", "#####", "@@-###"),
  departments: ["accounts", "billing", "technical support", "sales"],
  intents: [
    {
      id: "password",
      facts: {
        product,
        tries: count(3, 9),
        minutes: among(["10", "15", "30", "45"]),
        old: among([["my old work address", "an old work address"], [
          "an address I deleted",
          "a deleted address",
        ], ["my ex's address", "somebody else's address"]]),
        pin: code("######"),
      },
      openings: [
        "I [forgot|can't remember] my password for {product} and the reset mail [never arrives|doesn't come].",
        "{product} [won't let me in|says wrong password]. I've tried {tries} times.",
        "How do I [reset|change] my {product} password? [The link is dead|The link says expired].",
      ],
      questions: [
        ["Did you look in the spam folder?", "[Yes, nothing there|It's empty|Of course]."],
        ["Which email is on the account?", "[I think it's|It might be] {old}."],
        ["Are you [locked out|blocked] now?", "[Yes, after {tries} tries|It says try later|I guess so]."],
      ],
      outcomes: [
        {
          turns: [
            "I've sent a new link[, valid for {minutes} minutes|; it works for {minutes} minutes].",
            "[Got it|It came], [I'm in|it worked]!",
          ],
          deed: [
            "sends a new reset link, valid for {minutes} minutes, which works",
            "resets the password by a link that works",
          ],
        },
        {
          turns: [
            "Your account was [registered|opened] with {old.s}. I can change that once you [confirm|send me] the code {pin} from the app.",
            "[Here|The code is]: {pin}.",
            "[Thank you|Perfect], the address is changed and the link is out.",
          ],
          deed: ["changes the email on the account after checking the code {pin} and sends a reset link"],
        },
        {
          turns: [
            "After {tries} wrong tries the account is locked; it opens [by itself|again] in {minutes} minutes.",
            "[Okay|Good], I'll [wait|have a coffee].",
          ],
          deed: ["explains that the account is locked for {minutes} minutes after {tries} wrong tries"],
        },
      ],
      problem: [
        "cannot get into {product} without the password",
        "needs a new password for {product}",
        "has password trouble with {product}",
      ],
    },
    {
      id: "subscription-cancel",
      facts: { product, price: money(5, 29), end: days(4, 40), half: money(2, 4), charged: days(-6, -1) },
      openings: [
        "I want to [cancel|stop] my {product} subscription[. There's no button|; I can't find where].",
        "You [charged|billed] me {price} for {product} on {charged}, although I [cancelled|don't use it any more].",
        "Please end my {product} subscription. [{price} a month is too much|I don't need it].",
      ],
      questions: [
        [
          "Did you subscribe [on|through] our site or [in|through] an app store?",
          "[On your site|In the app store|I really don't know].",
        ],
        [
          "May I ask [why|what was missing]?",
          "[I just don't use it|It's too slow|I switched to another one].",
        ],
        ["Would a pause of three months help?", "[No, thanks|I'd rather cancel|No]."],
      ],
      outcomes: [
        {
          turns: ["It's cancelled; you can use it until {end}."],
          deed: ["cancels it with access until {end}", "ends the subscription as of {end}"],
        },
        {
          turns: [
            "I've cancelled it and [refunded|returned] the last payment of {price}.",
            "[Great|Very fair].",
          ],
          deed: ["cancels it and refunds the last {price}", "ends it and pays back {price}"],
        },
        {
          turns: [
            "[Would you stay for|How about] {half} a month?",
            "[For that price, okay|Hm... all right|Yes, then I keep it].",
          ],
          deed: ["offers {half} a month, and the customer keeps it"],
        },
        {
          turns: [
            "You took it out in the app store, so [only you|you yourself] can end it there: settings, [your name|account], subscriptions.",
            "[Found it|Ah, there it is], [done|cancelled].",
          ],
          deed: ["shows how to cancel it in the app store"],
        },
      ],
      problem: ["wants to cancel a {product} subscription", "asks to end the subscription to {product}"],
    },
    {
      id: "data-export",
      facts: {
        product,
        years: count(2, 11),
        files: count(120, 9800),
        format: among(["CSV", "PDF", "JSON", "Excel"]),
        hours: among(["2", "6", "12", "24", "48"]),
        until: days(7, 14),
      },
      openings: [
        "I need [all my data|a copy of everything] from {product}[, {years} years of it|]. How do I export it?",
        "The export from {product} [stops at half|fails every time]. I have {files} [files|entries].",
        "Can I get my {product} data as {format}?",
      ],
      questions: [
        ["Which format do you need?", "{format}[, please|, if possible]."],
        ["How many entries are there?", "[About|Exactly] {files}."],
        ["Is it for [moving|a move] to another program?", "[Yes, sorry|No, a backup|For my accountant]."],
      ],
      outcomes: [
        {
          turns: [
            "I've started [the export|it] on our side. In about {hours} hours you'll get a link[, valid until {until}|].",
          ],
          deed: [
            "starts an export that is ready in about {hours} hours",
            "has a download link sent in about {hours} hours",
          ],
        },
        {
          turns: [
            "Go to settings, then privacy, [and press|then] export; choose {format}.",
            "[Found it|Ah], [it's running|the bar is moving]!",
          ],
          deed: [
            "shows where to export the data as {format}, which works",
            "explains the export to {format} in the settings",
          ],
        },
        {
          turns: [
            "{format} is [not possible|only in the paid plan], but I can [activate|give you] it for {hours} hours.",
            "[That's enough|Wonderful]!",
          ],
          deed: ["unlocks the {format} export for {hours} hours"],
        },
      ],
      problem: ["wants to export data from {product}", "needs an export of the data in {product}"],
    },
    {
      id: "two-factor",
      facts: {
        product,
        phone: among(["new phone", "broken phone", "stolen phone", "reset phone"]),
        codes: code("#### ####", "###-###"),
        day: days(1, 3),
      },
      openings: [
        "I have a {phone} and can't get the [login codes|security codes] for {product} any more.",
        "{product} wants a code from my old phone. [It's gone|I don't have it], I have a {phone}.",
        "[Locked out|I'm locked out] of {product}: the second factor is on a {phone}.",
      ],
      questions: [
        ["Did you [save|print] the backup codes?", "[No.|What codes?|Not that I know.]"],
        ["Can you still [open|read] your email?", "[Yes|Yes, that works|Luckily yes]."],
        ["Are you logged in anywhere else?", "[On my laptop|No|On a tablet at home]."],
      ],
      outcomes: [
        {
          turns: [
            "I've [switched off|removed] the second factor after checking your [ID|identity]. [Please set it up again|Set up a new one soon].",
            "[I will|I'm in|Works]!",
          ],
          deed: [
            "switches off the second factor after an identity check",
            "removes it once the identity is checked",
          ],
        },
        {
          turns: [
            "For safety there's a waiting time: on {day} you'll get a link to [set it up anew|register the new phone].",
            "[That's long|Hm], but [I understand|okay].",
          ],
          deed: [
            "announces a link on {day}, after a waiting time",
            "sends a link on {day} for safety reasons",
          ],
        },
        {
          turns: [
            "[I've made|Here is] a new backup code: {codes}. [Enter|Type] it in the second field.",
            "[It took it|That works|Accepted]!",
          ],
          deed: ["solves it with a new backup code, {codes}"],
        },
      ],
      problem: [
        "cannot log in to {product} because of a {phone}",
        "lost the second factor for {product} with a {phone}",
      ],
    },
    {
      id: "licence-seats",
      facts: { product, seats: count(3, 40), more: count(2, 12), price: money(8, 30), day: days(1, 6) },
      openings: [
        "Our {product} licence is for {seats} people, we need {more} more.",
        "We [hired|have] {more} new people. How do I add them to {product}[? We have {seats} seats now|]?",
        "[What would|How much do] {more} more seats for {product} cost[ us|]?",
      ],
      questions: [
        ["Who is the administrator?", "[That's me|My colleague, he's on leave|Our office manager]."],
        ["How many seats do you have?", "[Right now|At the moment] {seats}."],
        ["Do you pay [monthly or yearly|by the month]?", "[Yearly|Monthly|By invoice, yearly]."],
      ],
      outcomes: [
        {
          turns: ["I've added {more} seats at {price} each.", "[Great|Perfect, they can start]."],
          deed: ["adds {more} seats at {price} each", "sells {more} more seats for {price} each"],
        },
        {
          turns: [
            "Only [the administrator|your administrator] may do that. I've [written to|asked] them for approval.",
            "[Okay|Good], I'll [nudge|remind] them.",
          ],
          deed: ["asks the administrator for approval"],
        },
        {
          turns: [
            "From {day} there's a team plan without a limit. I'd wait [until then|for that].",
            "[Good tip|Then we wait]!",
          ],
          deed: ["recommends to wait for a plan without a limit on {day}"],
        },
      ],
      problem: ["wants {more} more seats for {product}", "asks for {more} extra {product} seats"],
    },
    {
      id: "licence-key",
      facts: {
        product,
        key: code("@@@@-####", "####-@@@@"),
        fresh: code("@@@@-####", "####-@@@@"),
        until: days(20, 120),
        paid: days(-30, -8),
      },
      openings: [
        "The licence key for {product} [is rejected|isn't accepted]: {key}.",
        "{product} [tells me|says] our licence expired[, but we paid on {paid}|].",
        "I typed {key} into {product} and [nothing happens|it says invalid].",
      ],
      questions: [
        ["Is it the letter O or a zero?", "[There's neither|I tried both|I copied it from the mail]."],
        ["When did you pay?", "[On|According to accounting on] {paid}."],
      ],
      outcomes: [
        {
          turns: [
            "Here is a [new|fresh] key: {fresh}. It's good until {until}.",
            "[Accepted|It works|Thanks, that one works].",
          ],
          deed: ["issues the key {fresh}, valid until {until}", "sends a key that works until {until}"],
        },
        {
          turns: [
            "The invoice was [never paid|still open], that's why. I've [extended it|given you] until {until}.",
            "[Oops|How embarrassing], I'll [tell accounting|pay it today].",
          ],
          deed: ["finds an unpaid invoice and extends the licence until {until}"],
        },
        {
          turns: [
            "That key is for [an older|another] version. [Download|Please download] the one in your account.",
            "[Right, that was it|Now it's green]!",
          ],
          deed: ["finds that the key belongs to another version"],
        },
      ],
      problem: ["cannot activate {product} with the licence", "has a {product} licence that is not accepted"],
    },
    {
      id: "sync",
      facts: {
        product,
        a: among(["phone", "iPad", "work laptop", "home computer"]),
        version: among(["4.2", "5.1", "7.0.3", "11.8", "3.9"]),
        missing: count(6, 300),
        what: among(["notes", "photos", "tasks", "recipes", "contacts"]),
        day: days(-6, -1),
      },
      openings: [
        "{product} doesn't sync to my {a}; {missing} {what} are missing.",
        "My {what} are gone from {product}! [At least|About] {missing} of them[, since {day}|].",
        "Since the update {product} shows only [some|half] of my {what} on the {a}.",
      ],
      questions: [
        ["Which version do you have?", "[It says|Version] {version}."],
        ["Are you on the same account on both?", "[Yes|I think so|I'll check... yes]."],
        ["Since when?", "[Since|I noticed it on] {day}."],
      ],
      outcomes: [
        {
          turns: [
            "There's a bug in {version}. [Install|Please install] the update [from today|that came out today] and [they'll be back|everything returns].",
            "[Updating... yes, all there|It worked, they're all back]!",
          ],
          deed: ["blames a bug in version {version}; after an update everything is back"],
        },
        {
          turns: [
            "I [restored|brought back] your {what} from the backup of {day}.",
            "[You're a hero|Oh thank you|I see them]!",
          ],
          deed: ["restores the {what} from the backup of {day}", "recovers them from a backup of {day}"],
        },
        {
          turns: [
            "[Sign out and in|Log out and in again] on the {a}, then [wait|give it] an hour.",
            "[Okay, I'll report back|I'll try that].",
          ],
          deed: ["advises to sign out and in again on the {a}"],
        },
      ],
      problem: ["misses {what} in {product}", "reports that {what} have disappeared from {product}"],
    },
    {
      id: "hacked",
      facts: {
        product,
        place: among(["Jakarta", "Minsk", "Lagos", "Houston", "Manila", "Sofia"]),
        by: days(1, 4),
      },
      openings: [
        "[I think I've been hacked|Somebody is in my account]! There was a login to {product} from {place}.",
        "{product} says I logged in from {place}[ last night|], but I was [at home|asleep]!",
        "I got a mail about a login from {place} to my {product}. [It wasn't me|I've never been there].",
      ],
      questions: [
        ["Do you use the same password elsewhere?", "[Yes, I'm afraid|No|On two other sites]."],
        ["Did you click on a strange link[ lately|]?", "[Maybe|Yes, about a parcel|Not that I know]."],
        ["Can you still log in?", "[Yes|No, the password was changed|For now, yes]."],
      ],
      outcomes: [
        {
          turns: [
            "I've [ended|closed] all sessions and [sent|mailed] you a link for a new password.",
            "[Done|I've set a new one], [a long one|much longer].",
          ],
          deed: [
            "closes all sessions and has the password changed",
            "ends all sessions and sends a link for a new password",
          ],
        },
        {
          turns: [
            "The account is [frozen|locked] while our security team [checks|looks into] it; they [write|report] by {by}.",
          ],
          deed: [
            "freezes the account until a report by {by}",
            "locks the account, and the security team reports by {by}",
          ],
        },
        {
          turns: [
            "The login from {place} was our own [server|backup service], it's harmless.",
            "[Really? Phew|You gave me a fright|Good to know].",
          ],
          deed: ["explains that the login was harmless and came from an own server"],
        },
      ],
      problem: [
        "fears that the {product} account was hacked",
        "suspects a stranger in the {product} account",
      ],
    },
  ],
};
