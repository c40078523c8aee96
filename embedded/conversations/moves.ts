/**
 * Phrases common to all conversations: greetings, acknowledgements, thanks, farewells. All texts are
 * templates.
 */

/** Who speaks. */
export type Speaker = "Customer" | "Agent";

/** One utterance before expansion. */
export interface Turn {
  readonly by: Speaker;
  readonly says: string;
}

/** The agent's first words when the agent speaks first. */
export const AGENT_GREETINGS: readonly string[] = [
  "[Hello|Hi|Good morning|Good afternoon], [this is|you're speaking with|my name is] {agent} [from|at] {company}. [How can I help you|What can I do for you|How may I help] [today|]?",
  "[Thank you for|Thanks for] [calling|contacting] {company}[, {agent} speaking|]. [How can I help|What is it about|What brings you here]?",
  "{company}, {agent} here[, good day|]. [What can I do for you|How can I help]?",
  "Welcome to {company} [support|customer service]. [I'm {agent}. |][How can I help|What seems to be the problem|Tell me what happened]?",
  "[Hi there|Hello], you've reached {company}. [What's the matter|How can I assist you|What do you need]?",
  "{agent} from {company}, hello.",
];

/** The customer's first words. */
export const CUSTOMER_GREETINGS: readonly string[] = [
  "[Hello|Hi|Hey|Good morning|Good evening|Hi there].",
  "[Hello|Hi], [this is|my name is|I'm] {first} {last}.",
  "[Hello|Hi], [I'm|it's|this is] {first}.",
  "[Good day|Hello], {first} {last} [speaking|here].",
  "",
  "",
  "[Excuse me|Sorry to bother you|I hope you can help me|Maybe you can help].",
  "[Hello|Hi], [quick question|I have a problem|I need some help|a small thing]:",
];

/** Openings of an annoyed customer. */
export const ANNOYED: readonly string[] = [
  "[This is|It's] [ridiculous|unacceptable|really annoying|a disgrace].",
  "[I'm really angry|I'm fed up|I've had enough].",
  "I've been [waiting|on hold|in the queue] for {waited} minutes[ now|]!",
  "[This is the third time I write|I have called three times already|Nobody answers my mails].",
  "[I'm very disappointed with you|I expected more of {company}|Worst service ever].",
];

/** Calming phrases of an agent. */
export const CALMING: readonly string[] = [
  "I [completely|fully|really] understand [your anger|that you're upset|how annoying that is].",
  "I'm [very|so|truly] sorry[ about that|, that shouldn't happen| for the trouble].",
  "[That's not the service you should get|You're right to be upset|I'd be annoyed too]. [I apologise|Please accept my apology|Let me make it right].",
];

/** The agent's words before a question. */
export const BEFORE_QUESTION: readonly string[] = [
  "[I see|Okay|Right|All right|Thanks|Understood].",
  "[I'm sorry to hear that|That's unfortunate|Oh, that's not good|Oh dear].",
  "[Let me|I'll] [have a look|check|take a look at it].",
  "[Happy to help|Sure, we can look into that|No problem|Of course].",
  "[Thanks for|Thank you for] [letting us know|telling me|the message|explaining].",
  "",
  "",
];

/** The agent's words before the outcome. */
export const BEFORE_OUTCOME: readonly string[] = [
  "[Thank you|Thanks|Perfect|Great][, {first}|].",
  "[One moment, please|Just a second|Bear with me]... [okay|right|so|done].",
  "[I've looked at|I've checked|I see] your [case|file|record][ now|].",
  "[I have it in front of me|I found it|Here we are].",
  "[Good|Okay|All right], [I can help with that|here is what I can do|let me explain].",
  "[Thanks for waiting|Sorry for the wait|Thanks for your patience].",
  "",
];

/** The customer's words after the outcome. */
export const THANKS: readonly string[] = [
  "[Great|Perfect|Wonderful|Excellent|Super|Lovely], [thank you|thank you so much|thanks|thanks a lot|many thanks][!|.]",
  "[Thank you|Thanks] [very much|a lot|for your help|for sorting this out|for the quick help].",
  "[Okay|All right|Fine], [thank you|thanks|that helps|good to know].",
  "[That's a relief|I'm glad to hear that|That's good news|Brilliant].",
  "[Hm, okay|Well, fine|If that's all you can do, okay]. [Thanks anyway|Thanks|Let's hope it works].",
  "[That was quick|That was easier than I thought]. [Thanks|Thank you|Cheers]!",
];

/** The agent's farewell. */
export const FAREWELLS: readonly string[] = [
  "[You're welcome|My pleasure|Glad I could help|No problem|Any time][!|.] [Have a nice day|Have a good evening|Enjoy your day|Take care|].",
  "[Is there anything else|Anything else I can do]? [If not, have a lovely day|Otherwise I wish you a good day].",
  "[Thank you for choosing|Thanks for contacting|Thanks for your trust in] {company}. [Goodbye|Bye|See you].",
  "[Gladly|With pleasure|Of course][, {first}|]. [Goodbye|Bye now|All the best].",
];

/** The customer's farewell. */
export const GOODBYES: readonly string[] = [
  "[Bye|Goodbye|You too|Same to you|Have a good one|Ciao][!|.]",
  "[No, that's all|That was everything|Nothing else], [bye|thank you|goodbye].",
];
