/** A medical practice or clinic's front desk: appointments, prescriptions, results, invoices. */
import type { Desk } from "../intent.ts";
import { LAST_NAMES } from "../lists.ts";
import { among, code, count, days, money, time } from "../sources.ts";

const doctor = among(LAST_NAMES);

/** The clinic desk. */
export const health: Desk = {
  companies: [
    "Parkside Clinic",
    "Bridge Medical Centre",
    "Dental Studio North",
    "Lakeview Practice",
    "Eye Centre West",
  ],
  referenceNoun: "patient number",
  reference: code("#####", "P####", "##-###"),
  departments: ["reception", "the laboratory", "accounts", "the pharmacy"],
  intents: [
    {
      id: "appointment",
      facts: {
        doctor,
        what: among([
          ["a check-up", "a check-up"],
          ["my back", "back pain"],
          ["a toothache", "a toothache"],
          ["a rash on my arm", "a rash"],
          ["new glasses", "new glasses"],
          ["a vaccination", "a vaccination"],
          ["a cough that won't go", "a long cough"],
        ]),
        day: days(1, 14),
        at: time(8, 17),
        late: days(20, 40),
      },
      openings: [
        "I'd like an appointment [with Dr {doctor}|] for {what}.",
        "[Do you have|Is there] anything free soon? It's about {what}.",
        "Can I see Dr {doctor}[ this week|]? It's {what}.",
      ],
      questions: [
        ["Have you been here before?", "[Yes|Years ago|No, first time]."],
        ["Is it urgent?", "[Not really|It hurts|I'd like it soon]."],
        ["[Mornings or afternoons|When do you have time]?", "[Mornings|After work, if possible|Any time]."],
      ],
      outcomes: [
        {
          turns: ["[I can offer|There's a slot on] {day} at {at}.", "[I'll take it|That's perfect|Good]."],
          deed: ["books an appointment on {day} at {at}", "gives an appointment on {day} at {at}"],
        },
        {
          turns: [
            "Dr {doctor} is [away|fully booked] until {late}, but a colleague has time on {day} at {at}.",
            "[The colleague is fine|Then with the colleague].",
          ],
          deed: [
            "books {day} at {at} with a colleague because Dr {doctor} is busy until {late}",
            "offers a colleague on {day} at {at}, which is accepted",
          ],
        },
        {
          turns: [
            "The next free [slot|date] is {late}. I can put you on the waiting list.",
            "[Yes, do that|That would be kind].",
          ],
          deed: [
            "puts the customer on the waiting list, as nothing is free before {late}",
            "offers {late} and a place on the waiting list",
          ],
        },
      ],
      problem: [
        "asks for an appointment for {what.s}",
        "wants to see a doctor about {what.s}",
        "would like to see Dr {doctor} about {what.s}",
      ],
    },
    {
      id: "reschedule",
      facts: {
        doctor,
        old: days(1, 4),
        at: time(8, 17),
        new: days(5, 20),
        fee: money(15, 40),
        why: among([["I have to work", "of work"], ["my car broke down", "the car broke down"], [
          "I have a fever",
          "of a fever",
        ], ["my babysitter cancelled", "the babysitter cancelled"]]),
      },
      openings: [
        "I can't [come|make it] to my appointment on {old}: {why}.",
        "I need to [move|shift|change] my appointment with Dr {doctor} on {old}. {why}.",
        "I have to [cancel|postpone] {old}, because {why}. [Sorry|Sorry for the short notice]!",
      ],
      questions: [
        ["With which doctor is it?", "[With|It's with] Dr {doctor}."],
        ["[What time was it|At what time]?", "[At|It was at] {at}."],
        ["Would the week after [suit|be okay for] you?", "[Yes|Sure|If it's not too early]."],
      ],
      outcomes: [
        {
          turns: [
            "[How about|I have] {new} at {at}?",
            "[Works|Perfect|Yes, please].",
            "[It's in the book|Noted].",
          ],
          deed: ["moves it to {new} at {at}", "finds a new date: {new} at {at}"],
        },
        {
          turns: [
            "I've cancelled it. As it's less than a day before, there's a fee of {fee}.",
            "[Really?|Is that necessary?]",
            "[All right|Okay], I'll [drop|waive] it this once.",
          ],
          deed: ["cancels it and waives the late fee of {fee}"],
        },
        {
          turns: ["I've [deleted|cancelled] it; [please call|call us] when you [know|have] a new date."],
          deed: ["cancels it without a new date", "deletes it and asks to be called for a new one"],
        },
      ],
      problem: [
        "cannot come to an appointment on {old} because {why.s}",
        "wants to move an appointment on {old}",
      ],
    },
    {
      id: "prescription",
      facts: {
        drug: among([
          "blood pressure tablets",
          "asthma inhalers",
          "allergy tablets",
          "eye drops",
          "thyroid tablets",
          "heart tablets",
          "migraine tablets",
        ]),
        left: count(2, 6),
        mg: among(["5", "10", "20", "50", "100"]),
        day: days(0, 3),
        at: time(10, 18),
      },
      openings: [
        "I need a new prescription for my {drug}. I have {left} left.",
        "My {drug} are [nearly gone|running out]. [Can I get more|Do I have to come in]?",
        "[Could the doctor|Could you] prescribe my {drug} again?",
      ],
      questions: [
        ["Which strength?", "[It says|The box says] {mg} milligrams."],
        ["When were you last here?", "[Two months ago|In spring|Last year]."],
        ["[Any side effects|Do you take them well]?", "[None|A little tired|No problems]."],
      ],
      outcomes: [
        {
          turns: ["It's [ready|at the front desk] on {day} from {at}."],
          deed: ["has the prescription ready on {day} from {at}", "prepares it for {day} at {at}"],
        },
        {
          turns: [
            "I've sent it [straight|electronically] to your pharmacy[; you can collect it today|].",
            "[Very practical|That's quick].",
          ],
          deed: ["sends the prescription to the pharmacy", "passes it electronically to the pharmacy"],
        },
        {
          turns: [
            "The doctor [must|has to] see you first; can you come on {day} at {at}?",
            "[If I must|Okay, yes|That's possible].",
          ],
          deed: [
            "requires a visit first, on {day} at {at}",
            "asks the customer to come on {day} at {at} before prescribing more",
          ],
        },
      ],
      problem: ["needs more {drug}", "asks for a new prescription for {drug}"],
    },
    {
      id: "test-results",
      facts: {
        test: among([["blood test", "blood test"], ["X-ray", "X-ray"], ["allergy test", "allergy test"], [
          "scan",
          "scan",
        ], ["urine test", "urine test"]]),
        on: days(-12, -3),
        day: days(1, 4),
        at: time(8, 18),
        pin: count(1000, 9900),
      },
      openings: [
        "Are the results of my {test} [there|in] yet? I was there on {on}.",
        "I had {a:test} on {on} and [nobody called|I've heard nothing].",
        "I'm [nervous|waiting]: what came out of my {test} from {on}?",
      ],
      questions: [
        ["What is your date of birth?", "[I've entered it in the form|It's in the form, I filled it in]."],
        ["Which doctor ordered it?", "[The young one|My family doctor|I forgot the name]."],
      ],
      outcomes: [
        {
          turns: [
            "[They're in|They have arrived]: everything is [normal|fine].",
            "[What a relief|Oh, good|Thank God]!",
          ],
          deed: ["says the results are normal", "reports that everything is fine"],
        },
        {
          turns: [
            "I may not [say|tell] anything here; the doctor calls you on {day} at {at}.",
            "[Is it bad?|That sounds serious]",
            "[No, it's always like that|It's just the rule].",
          ],
          deed: ["announces a call from the doctor on {day} at {at}"],
        },
        {
          turns: ["You can [read|see] them online with the PIN {pin}.", "[I've got them|It opens]."],
          deed: ["gives the PIN {pin} to read them online"],
        },
        {
          turns: [
            "The lab [lost|spoiled] the sample, I'm so sorry. [Can you come|Please come] again on {day}?",
            "[Not again|You must be joking]... okay.",
          ],
          deed: ["admits that the lab lost the sample and asks for a new one on {day}"],
        },
      ],
      problem: ["asks for the results of {a:test.s}", "is waiting for {test.s} results from {on}"],
    },
    {
      id: "clinic-invoice",
      facts: {
        amount: money(60, 390),
        what: among(["cleaning", "consultation", "filling", "eye test", "treatment"]),
        right: money(20, 59),
        on: days(-30, -8),
        by: days(10, 25),
      },
      openings: [
        "I got an invoice of {amount} for {a:what}. [I thought my insurance pays|Isn't that covered]?",
        "The invoice from {on} is wrong: {amount} for {a:what}[ I never had|].",
        "Why does {a:what} cost {amount}?",
      ],
      questions: [
        ["[When was the visit|On what day were you here]?", "[On|It was] {on}."],
        ["Do you have extra insurance?", "[Yes|No|I think for teeth only]."],
      ],
      outcomes: [
        {
          turns: ["You were [given|sent] another patient's bill. Yours is {right}[, payable by {by}|]."],
          deed: ["finds a mix-up and corrects the bill to {right}", "replaces the bill with one of {right}"],
        },
        {
          turns: [
            "You [pay first|pay us first] and then [get it back from|hand it in to] your insurance. You have time until {by}.",
            "[Okay|I see, then I'll do that].",
          ],
          deed: [
            "explains that the insurance pays it back later and sets {by} as the deadline",
            "gives time until {by} and points to the insurance",
          ],
        },
        {
          turns: ["I'm [deleting|cancelling] it, the {what} was [entered|booked] by mistake."],
          deed: ["cancels the invoice, as it was a mistake", "deletes the invoice"],
        },
      ],
      problem: ["disputes an invoice of {amount} for {a:what}", "asks about a bill of {amount} for {a:what}"],
    },
  ],
};
