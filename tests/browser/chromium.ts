/** Headless Chromium, driven by its DevTools protocol (https://chromedevtools.github.io/devtools-protocol). */

/** An open page. */
export interface Page {
  /** Goes to an address and waits until it is loaded. */
  open(url: string): Promise<void>;
  /** The value of an expression, awaited. @throws {Error} with the page's exception. */
  evaluate<T>(expression: string): Promise<T>;
  /** Sends a command of the protocol. */
  send(method: string, params: Fields): Promise<Fields>;
}

/** A running browser. */
export interface Browser extends AsyncDisposable {
  page(): Promise<Page>;
}

const NAMES = ["chromium", "chromium-browser", "google-chrome"];

/** Starts it. @throws {Error} when there is none on the path, or it does not come up. */
export async function chromium(): Promise<Browser> {
  const profile = Deno.makeTempDirSync({ prefix: "graft-chromium-" });
  const child = spawned([
    ...["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"],
    ...["--remote-debugging-port=0", `--user-data-dir=${profile}`, "about:blank"],
  ]);
  const stop = async (): Promise<void> => {
    try {
      child.kill("SIGTERM");
    } catch {
      // Gone already.
    }
    await child.status;
    await drained;
    // Its helpers may still be writing.
    for (let i = 0; i < 20; i++) {
      try {
        return Deno.removeSync(profile, { recursive: true });
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  };
  const found = Promise.withResolvers<string>();
  const drained = (async () => {
    let text = "";
    for await (const piece of child.stderr.pipeThrough(new TextDecoderStream())) {
      text += piece;
      const url = /DevTools listening on (ws:\S+)/.exec(text)?.[1];
      if (url !== undefined) found.resolve(url);
    }
    found.reject(new Error(`Chromium ended: ${text.slice(-500)}`));
  })();
  const protocol = await connected(await found.promise);
  return {
    page: async () => {
      const { targetId } = await protocol.send("Target.createTarget", { url: "about:blank" });
      const { sessionId } = await protocol.send("Target.attachToTarget", { targetId, flatten: true });
      return page(protocol, sessionId as string);
    },
    [Symbol.asyncDispose]: async () => {
      await protocol.close();
      await stop();
    },
  };
}

function spawned(args: readonly string[]): Deno.ChildProcess {
  for (const name of NAMES) {
    try {
      return new Deno.Command(name, { args: [...args], stdin: "null", stdout: "null", stderr: "piped" })
        .spawn();
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  throw new Error(
    `Expected Chromium on the path (${NAMES.join(", ")}) but found none: apt-get install chromium`,
  );
}

type Fields = Readonly<Record<string, unknown>>;

interface Protocol {
  send(method: string, params: Fields, sessionId?: string): Promise<Fields>;
  close(): Promise<void>;
}

async function connected(url: string): Promise<Protocol> {
  const socket = new WebSocket(url);
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = () => reject(new Error(`Cannot connect to ${url}`));
  });
  const waiting = new Map<number, PromiseWithResolvers<Fields>>();
  let last = 0;
  socket.onmessage = ({ data }) => {
    const { id, result, error } = JSON.parse(data);
    const answer = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) answer?.resolve(result);
    else answer?.reject(new Error(error.message));
  };
  const closed = new Promise<void>((resolve) => socket.onclose = () => resolve());
  return {
    send: (method, params, sessionId) => {
      const answer = Promise.withResolvers<Fields>();
      waiting.set(++last, answer);
      socket.send(JSON.stringify({ id: last, method, params, ...sessionId && { sessionId } }));
      return answer.promise;
    },
    close: async () => {
      socket.close();
      await closed;
    },
  };
}

function page(protocol: Protocol, session: string): Page {
  const evaluate = async <T>(expression: string): Promise<T> => {
    const params = { expression, awaitPromise: true, returnByValue: true };
    const { result, exceptionDetails } = await protocol.send("Runtime.evaluate", params, session) as {
      readonly result: { readonly value: T };
      readonly exceptionDetails?: {
        readonly text: string;
        readonly exception?: { readonly description?: string };
      };
    };
    if (exceptionDetails !== undefined) {
      throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    }
    return result.value;
  };
  return {
    evaluate,
    send: (method, params) => protocol.send(method, params, session),
    open: async (url) => {
      await protocol.send("Page.navigate", { url }, session);
      for (;;) {
        const loaded = await evaluate<boolean>(
          `location.href === ${JSON.stringify(url)} && document.readyState === "complete"`,
        ).catch(() => false); // the old page goes away meanwhile
        if (loaded) return;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
  };
}
