/** What test files take of Deno, in a page: `Deno.test` collects, and whoever drives the page runs one by its index. */

/** A test that a file registered. */
interface PageTest {
  readonly name: string;
  readonly fn: () => void | Promise<void>;
  readonly ignore?: boolean;
}

const tests: PageTest[] = [];

Object.assign(globalThis, {
  Deno: {
    test: (first: string | PageTest, fn?: PageTest["fn"]): void => {
      tests.push(typeof first === "string" ? { name: first, fn: fn! } : first);
    },
    env: { get: (): undefined => undefined },
  },
  /** The tests' names, and whether each is ignored. */
  testsHere: () => tests.map(({ name, ignore = false }) => ({ name, ignore })),
  /** Runs one. Gives what went wrong, or nothing. */
  runTest: async (index: number): Promise<string | undefined> => {
    try {
      await tests[index]!.fn();
      return undefined;
    } catch (error) {
      return error instanceof Error ? error.stack ?? error.message : String(error);
    }
  },
});
