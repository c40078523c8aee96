/** Ownership: what a scope frees, what roots keep, lend and refuse. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type Backend,
  BackendMismatchError,
  dispose,
  keep,
  memory,
  read,
  scope,
  type Synchronous,
  type Tensor,
  tensor,
  tensorsIn,
} from "../../core/mod.ts";
import { add, exp, matmul, multiply } from "../../ops/mod.ts";
import { reference } from "../../ops/reference/mod.ts";

const one = (backend: Backend, x = 1): Tensor => tensor([x], { backend });
const live = (backend: Backend): number => memory(backend).live;

Deno.test("scope() frees everything that its result does not hold", () => {
  const backend = reference();
  const kept = scope((): Synchronous<{ readonly a: readonly Tensor[] }> => {
    const x = one(backend);
    for (let i = 0; i < 5; i++) exp(x);
    return { a: [add(x, 1)] };
  });
  assert.equal(live(backend), 4);
  dispose(kept);
  assert.equal(live(backend), 0);
});

Deno.test("scope() frees when it throws, and hands results to the scope around it", () => {
  const backend = reference();
  assert.throws(() =>
    scope(() => {
      one(backend);
      throw new Error("stop");
    }), /stop/);
  assert.equal(live(backend), 0);
  scope(() => {
    const inner = scope(() => one(backend));
    assert.equal(live(backend), 4);
    assert.equal(inner.storage.freed, false);
    return [];
  });
  assert.equal(live(backend), 0);
});

Deno.test("scope() leaves older tensors alone", () => {
  const backend = reference();
  const old = one(backend);
  assert.equal(scope(() => old), old);
  scope(() => []);
  assert.equal(old.storage.freed, false);
  dispose(old);
});

Deno.test("scope() refuses a promise and frees what it made", () => {
  const backend = reference();
  const promised = (() => Promise.resolve(one(backend))) as unknown as () => Tensor;
  assert.throws(() => scope(promised), {
    name: "TypeError",
    message: "Expected a synchronous function in scope but it returned a promise: await between scopes",
  });
  assert.equal(live(backend), 0);
});

Deno.test("any nest of scopes leaves what the outermost returns", () => {
  type Program = { readonly makes: number; readonly keeps: boolean; readonly inner: readonly Program[] };
  const programs = fc.letrec<{ readonly program: Program }>((tie) => ({
    program: fc.record({
      makes: fc.nat({ max: 3 }),
      keeps: fc.boolean(),
      inner: fc.oneof(
        { depthSize: "small" },
        fc.constant<readonly Program[]>([]),
        fc.array(tie("program"), { maxLength: 2 }),
      ),
    }),
  })).program;
  fc.assert(
    fc.property(programs, (program) => {
      const backend = reference();
      const run = (p: Program): readonly Tensor[] =>
        scope((): readonly Tensor[] => {
          const made = Array.from({ length: p.makes }, () => one(backend));
          const inner = p.inner.flatMap(run);
          return p.keeps ? [...made, ...inner] : [];
        });
      const result = run(program);
      assert.equal(live(backend), 4 * result.length);
      assert.ok(result.every((t) => !t.storage.freed));
      dispose(result);
      assert.equal(live(backend), 0);
    }),
  );
});

Deno.test("keep() outlives scopes; replace() frees what the next tree does not hold", () => {
  const backend = reference();
  const root = scope(() => [keep({ a: one(backend), b: one(backend) })])[0]!;
  assert.equal(live(backend), 8);
  const { a } = root.tree;
  root.replace(scope(() => ({ a, b: multiply(a, 3) })));
  assert.equal(live(backend), 8);
  assert.equal(a.storage.freed, false);
  root.replace({ a: root.tree.b, b: root.tree.b });
  assert.equal(live(backend), 4);
  root.dispose();
  root.dispose();
  assert.equal(live(backend), 0);
});

Deno.test("keep() borrows from other roots, which then cannot be disposed first", () => {
  const backend = reference();
  const owner = keep({ x: one(backend) });
  const borrower = keep({ x: owner.tree.x, y: one(backend) });
  assert.throws(() => owner.dispose(), {
    message: "Cannot dispose a root while others still use 1 of its tensors: dispose them first",
  });
  borrower.dispose();
  assert.equal(owner.tree.x.storage.freed, false);
  owner.dispose();
  assert.equal(live(backend), 0);
});

Deno.test("replace() gives borrowed tensors back", () => {
  const backend = reference();
  const owner = keep({ x: one(backend) });
  const borrower = keep<Readonly<Record<string, Tensor>>>({ x: owner.tree.x });
  borrower.replace({ y: one(backend) });
  owner.dispose();
  assert.equal(live(backend), 4);
  borrower.dispose();
});

Deno.test("dispose() leaves what roots own", () => {
  const backend = reference();
  const root = keep({ x: one(backend) });
  dispose({ mine: one(backend), theirs: root.tree.x });
  assert.equal(live(backend), 4);
  root.dispose();
});

Deno.test("a freed tensor says so to ops and to read()", async () => {
  const backend = reference();
  const x = scope(() => {
    const gone = one(backend);
    return [{ of: () => gone }];
  })[0]!.of();
  assert.throws(() => exp(x), {
    name: "Error",
    message: "Cannot exp: its input [1] was freed; keep it or return it from its scope",
  });
  await assert.rejects(() => read(x), {
    message: "Cannot use a tensor whose storage was freed: keep it or return it from its scope",
  });
});

Deno.test("ops refuse tensors of two backends", () => {
  const [a, b] = [one(reference()), one(reference())];
  assert.throws(() => add(a, b), BackendMismatchError);
  assert.throws(
    () => matmul(tensor([[1]], { backend: a.backend }), tensor([[1]], { backend: b.backend })),
    /^BackendMismatchError: Cannot matmul a tensor on reference and one on another reference: load both on one backend, or/,
  );
  dispose([a, b]);
});

Deno.test("tensorsIn() finds tensors in records and arrays, each way once, and ignores functions", () => {
  const backend = reference();
  const [x, y] = [one(backend), one(backend)];
  const shared = { x };
  assert.deepEqual(tensorsIn({ a: [shared, y], b: shared, c: () => x, d: null, e: "x" }), [x, y]);
  dispose([x, y]);
});
