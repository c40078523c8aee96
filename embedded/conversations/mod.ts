/** Seeded customer-service conversations with faithful summaries: the data of the embedded model. */
export { type Conversation, conversation, intents, LIMITS } from "./conversation.ts";
