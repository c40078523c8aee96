/**
 * Complications in a conversation: identification, a reference that is not found, a wrong department,
 * waiting, escalation, small talk, a second question. A detour may leave a note for the summary.
 */
import type { Turn } from "./moves.ts";

/** A detour: its turns, and how a summary mentions it (never, when empty). */
export interface Detour {
  readonly id: string;
  readonly turns: readonly Turn[];
  readonly note: readonly string[];
}

const agent = (says: string): Turn => ({ by: "Agent", says });
const customer = (says: string): Turn => ({ by: "Customer", says });

/** Identification of the customer: at most one is drawn. */
export const IDENTITY: readonly Detour[] = [
  {
    id: "name",
    turns: [
      agent("[May|Can|Could] I have your [full name|first and last name][, please|]?"),
      customer("[Sure, |It's |Yes, |]{first} {last}."),
    ],
    note: [],
  },
  {
    id: "reference",
    turns: [
      agent("[Could|Can] you [give|tell|send] me your {refnoun}[, please|]?"),
      customer("[Yes, |Sure, |It's |One moment... it's |]{ref}[, I think|]."),
    ],
    note: [],
  },
  {
    id: "reference and name",
    turns: [
      agent("[I need|Please give me] your {refnoun} and [the|your] name."),
      customer("{ref}[, and the name is|, name:] {first} {last}."),
    ],
    note: [],
  },
  {
    id: "email",
    turns: [
      agent("[Which|What] email [address|] [is it under|did you use|do we have from you]?"),
      customer("[It should be|Probably|Try] {email}."),
    ],
    note: [],
  },
  {
    id: "postcode",
    turns: [
      agent("[For your safety|To be sure it's you], please [tell|give] me your name and postcode."),
      customer("{first} {last}, {postcode}."),
    ],
    note: [],
  },
  {
    id: "reference not found",
    turns: [
      agent("[What is|May I have] your {refnoun}?"),
      customer("[It's|That would be|Here:] {badref}."),
      agent(
        "[I can't find that one|Nothing comes up|The system doesn't know it]. [Could you check again|Is there maybe a typo]?",
      ),
      customer("[Oh, sorry|My mistake|Wrong paper], it's {ref}."),
    ],
    note: [
      "The first {refnoun} was wrong; {ref} is the right one.",
      "A wrong {refnoun} had to be corrected to {ref}.",
      "The {refnoun} was not found at first.",
    ],
  },
  {
    id: "no reference",
    turns: [
      agent("Do you have [the|your] {refnoun} [at hand|there]?"),
      customer(
        "[No|Unfortunately not|I can't find it], [but my name is|maybe my name helps:|the name is] {first} {last}.",
      ),
      agent("[That's enough|That will do], [I see you|there you are]."),
    ],
    note: ["The {refnoun} was not at hand, so the name had to do.", "", ""],
  },
];

/** Obstacles on the way: at most two are drawn. */
export const OBSTACLES: readonly Detour[] = [
  {
    id: "wrong department",
    turns: [
      agent(
        "[You've reached|This is] {dept}, [I'll pass you on|let me connect you|I'll hand you over] to [the right team|my colleague|the colleagues in charge].",
      ),
      agent(
        "[Hello|Hi], [{agent2} here|this is {agent2}|my name is {agent2}]. [I've read what you wrote|My colleague told me about it].",
      ),
    ],
    note: [
      "{dept} handed the case to {agent2}.",
      "It first reached {dept}, and {agent2} took over.",
    ],
  },
  {
    id: "hold",
    turns: [
      agent(
        "[Can|May] I put you on hold [for a moment|for {hold} minutes]? I [have to|need to] [ask|check with] [a colleague|the team].",
      ),
      customer("[Sure|Okay|If it's quick|Go ahead]."),
    ],
    note: ["", "The agent checked with the team first."],
  },
  {
    id: "escalation",
    turns: [
      customer(
        "[I want to speak to your supervisor.|Is there a manager?|Can I talk to someone who can decide?]",
      ),
      agent(
        "[I'll ask|Let me bring in|I'm fetching] my [supervisor|team leader], {agent2}[, one moment|]. [She agrees with|We both looked at] [this|the case].",
      ),
    ],
    note: ["The supervisor {agent2} was involved.", "The customer asked for a supervisor, {agent2}."],
  },
  {
    id: "urgent",
    turns: [
      customer(
        "[It's quite urgent|Please hurry|I don't have much time], [I'm leaving|I have to go] [at|around] {leave}.",
      ),
      agent("[I'll be quick|Understood|I'll do my best]."),
    ],
    note: ["The matter was urgent.", "", ""],
  },
  {
    id: "cut off",
    turns: [
      customer("[Are you still there|Hello]?"),
      agent("[Yes|Yes, sorry], [the system is slow today|my screen froze|I'm typing]."),
    ],
    note: [],
  },
  {
    id: "weather",
    turns: [
      agent("[While this loads|The system needs a moment]: how is the weather [there|where you are]?"),
      customer("[Raining|Sunny, for once|Cold and grey|Far too hot]. [And with you?|]"),
    ],
    note: [],
  },
  {
    id: "doubt",
    turns: [
      customer(
        "[Last time|The last agent], [I was|they] promised [a call|an answer] and [nothing came|nobody called].",
      ),
      agent(
        "[I see a note about it|You're right, it's noted here]. [I'll stay on it|I take care of it myself].",
      ),
    ],
    note: ["An earlier promise to get in touch was not kept.", ""],
  },
  {
    id: "misunderstanding",
    turns: [
      agent("[So you'd like to open a new account|So it's about a new order|You mean last year's matter]?"),
      customer(
        "[No, no|No|Not at all], [that's not what I said|you misunderstood|I mean what I just told you].",
      ),
      agent("[Sorry|My apologies|Ah, sorry], [I mixed that up|wrong window|now I've got it]."),
    ],
    note: [],
  },
];

/** A second question at the end: at most one is drawn. */
export const SIDE_QUESTIONS: readonly Detour[] = [
  {
    id: "hours",
    turns: [
      customer("[One more thing|By the way|And]: [how long are you open|when do you close] on {weekday}?"),
      agent("[On {weekday} we close at|Until|We're there until] {closes}."),
    ],
    note: [
      "The customer also asks about opening hours: until {closes}.",
      "On {weekday} it is open until {closes}.",
    ],
  },
  {
    id: "email change",
    turns: [
      customer("[Also|And|While I'm here], my [new email|email address] is {email}."),
      agent("[I've saved|I've noted|Updated:] {email}."),
    ],
    note: ["The email address was changed to {email}.", "The agent also updates the email address."],
  },
  {
    id: "newsletter",
    turns: [
      customer("[And please stop|Could you also stop] [the newsletter|the advertising mails]."),
      agent("[You're off the list|I've taken you off it]."),
    ],
    note: ["The newsletter is stopped as well.", "The customer will get no more newsletters."],
  },
  {
    id: "invoice copy",
    turns: [
      customer("[Can|Could] you also send me [the invoice|a copy of the invoice] for {month}?"),
      agent("[It's in your inbox|I've mailed it|You'll get it in a minute]."),
    ],
    note: ["The invoice for {month} is sent as well.", "The agent also mails the {month} invoice."],
  },
  {
    id: "phone number",
    turns: [
      customer("[Oh, and|One last thing:] my phone number [changed|is new], it ends in {digits}."),
      agent("[Noted|Thanks], the one [with|ending in] {digits}."),
    ],
    note: ["A new phone number ending in {digits} was noted.", "The phone number was updated too."],
  },
  {
    id: "branch",
    turns: [
      customer("Do you [also|] have [a branch|an office] in {town}?"),
      agent("[Yes|We do], [in|at] {house} {branch}."),
    ],
    note: [
      "The office in {town} is at {house} {branch}.",
      "The customer also asks about an office in {town}.",
    ],
  },
  {
    id: "discount",
    turns: [
      customer("[Do students get a discount|Is there a discount[ for students|]|Do you give discounts]?"),
      agent("[Yes|Indeed], {percent} percent[ with a student card|]."),
    ],
    note: [
      "There is also a discount of {percent} percent.",
      "The agent mentions a discount of {percent} percent.",
    ],
  },
  {
    id: "married name",
    turns: [
      customer("[I got married|I married last month], [my name is|so it's] {first} {last2} now."),
      agent("[Congratulations|How nice]! [I've changed|I'll change] it to {last2}."),
    ],
    note: ["The name is changed to {last2} after a wedding.", "The agent changes the last name to {last2}."],
  },
  {
    id: "survey",
    turns: [
      agent("[Would you rate|How would you rate] this [chat|talk] from 1 to 10?"),
      customer("[I'd say|A|Let's say] {score}."),
    ],
    note: ["", "", "The customer rates the service with {score}."],
  },
  {
    id: "written",
    turns: [
      customer("[Can I have|Could I get] that in writing?"),
      agent("[I'm sending|I've sent] a [summary|confirmation] to {email}."),
    ],
    note: ["A written confirmation goes to {email}.", "It is confirmed in writing.", ""],
  },
];
