/** Where the embedded model lies in a tab: in the folder "embedded", when it has been fetched. Replaces `cli/embedded_model.ts`. */

/** The folder's path. */
export const embeddedModel = (): Promise<string> => Promise.resolve("embedded");
