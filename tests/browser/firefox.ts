/** Headless Firefox, driven by WebDriver BiDi (https://w3c.github.io/webdriver-bidi), which Debian's speaks without more. */

/** An open page. */
export interface FirefoxPage {
  /** Goes to an address and waits until it is loaded. */
  open(url: string): Promise<void>;
  /** The value of an expression, awaited; it must be JSON. @throws {Error} with the page's exception. */
  evaluate<T>(expression: string): Promise<T>;
  /** Gives files to the `<input type="file">` that a selector finds. */
  setFiles(selector: string, paths: readonly string[]): Promise<void>;
}

/** A running browser with one page. */
export interface Firefox extends AsyncDisposable {
  readonly page: FirefoxPage;
}

type Fields = Readonly<Record<string, unknown>>;

/** Starts the program. @throws {Error} when it does not come up. */
export async function firefox(program: string): Promise<Firefox> {
  const profile = await Deno.makeTempDir({ prefix: "graft-firefox-" });
  const child = new Deno.Command(program, {
    args: ["--headless", "--no-remote", "--profile", profile, "--remote-debugging-port=0", "about:blank"],
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const found = Promise.withResolvers<string>();
  const drained = (async () => {
    let text = "";
    for await (const piece of child.stderr.pipeThrough(new TextDecoderStream())) {
      text = (text + piece).slice(-4000);
      const url = /WebDriver BiDi listening on (ws:\S+)/.exec(text)?.[1];
      if (url !== undefined) found.resolve(url);
    }
    found.reject(new Error(`Firefox ended: ${text}`));
  })();
  const protocol = await connected(`${await found.promise}/session`);
  await protocol.send("session.new", { capabilities: {} });
  const { contexts } = await protocol.send("browsingContext.getTree", {}) as {
    readonly contexts: readonly [{ readonly context: string }];
  };
  return {
    page: pageOf(protocol, contexts[0].context),
    [Symbol.asyncDispose]: async () => {
      await protocol.send("browser.close", {});
      await child.status;
      await drained;
      await Deno.remove(profile, { recursive: true });
    },
  };
}

interface Protocol {
  send(method: string, params: Fields): Promise<Fields>;
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
    const { id, type, result, error, message } = JSON.parse(data);
    const answer = waiting.get(id);
    waiting.delete(id);
    if (type === "error") answer?.reject(new Error(`${error}: ${message}`));
    else answer?.resolve(result);
  };
  return {
    send: (method, params) => {
      const answer = Promise.withResolvers<Fields>();
      waiting.set(++last, answer);
      socket.send(JSON.stringify({ id: last, method, params }));
      return answer.promise;
    },
  };
}

interface Evaluated {
  readonly result: { readonly value?: string; readonly sharedId?: string };
  readonly exceptionDetails?: { readonly text: string };
}

function pageOf(protocol: Protocol, context: string): FirefoxPage {
  const evaluated = async (expression: string): Promise<Evaluated["result"]> => {
    const { result, exceptionDetails } = await protocol.send("script.evaluate", {
      ...{ expression, awaitPromise: true, target: { context } },
    }) as unknown as Evaluated;
    if (exceptionDetails !== undefined) throw new Error(exceptionDetails.text);
    return result;
  };
  return {
    open: async (url) => {
      await protocol.send("browsingContext.navigate", { context, url, wait: "complete" });
    },
    evaluate: async <T>(expression: string) => {
      const { value } = await evaluated(`(async () => JSON.stringify(await (${expression})))()`);
      return value === undefined ? undefined as T : JSON.parse(value) as T;
    },
    setFiles: async (selector, files) => {
      const { sharedId } = await evaluated(`document.querySelector(${JSON.stringify(selector)})`);
      await protocol.send("input.setFiles", { context, element: { sharedId }, files });
    },
  };
}
