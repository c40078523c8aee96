/** Times whole processes: the arguments are the command that each run starts. */
import { servePeer } from "./serve.ts";

const [command, ...args] = Deno.args as [string, ...string[]];
await servePeer({ deno: Deno.version.deno }, async () => {
  const { success, stderr } = await new Deno.Command(command, { args, stdout: "null", stderr: "piped" })
    .output();
  if (!success) {
    throw new Error(`${[command, ...args].join(" ")} failed: ${new TextDecoder().decode(stderr)}`);
  }
});
