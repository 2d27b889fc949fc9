// Flows in one call.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Dagyo, DagyoError, FlowError, type FlowDocument } from "@dagyo/client";
import { start, type Running } from "./dagyo.js";
import { assertion, copy, drop, greet, numbers } from "./flows.js";

let dagyo: Dagyo;
let running: Running;
before(async () => {
  running = await start();
  dagyo = running.client;
});
after(() => running.stop());

/** Waits until a flow has failed for a reason. */
async function cancelled(id: string, reason: RegExp): Promise<void> {
  await assert.rejects(dagyo.wait(id), (e) => e instanceof FlowError && e.verdict === "flow.cancelled" && reason.test(e.reason ?? ""));
}

test("runs a flow in one call", async () => {
  const { outputs, verdict, flow } = await dagyo.run(greet, { inputs: { names: ["Ada", "Bob"] } });
  const greetings: string[] = outputs.greetings;
  assert.deepEqual(greetings, ["hello Ada", "hello Bob"]);
  assert.equal(verdict, "flow.completed");
  assert.equal((await dagyo.wait(flow)).verdict, "flow.completed");
});

test("carries the records of all types", async () => {
  const texts = ["", " ", "\n", "\r\n", "a\nb", "\u2028", "\ufeffbom", "\u0000", "😀", '"{}', "</script>", "../..", "=1+1", "é".normalize("NFD")];
  assert.deepEqual((await dagyo.run(copy("utf8-string"), { inputs: { in: texts } })).outputs, { a: texts, b: texts });
  const values = [null, true, 0, -1.5e300, "", "a\nb", [], {}, { __proto__x: { "": [null, "\u2028"] } }];
  assert.deepEqual((await dagyo.run(copy("json"), { inputs: { in: values } })).outputs.a, values);
  const bytes = [new Uint8Array(), Uint8Array.of(0, 255, 10, 13), new Uint8Array(300_000).fill(200)];
  assert.deepEqual((await dagyo.run(copy("octets"), { inputs: { in: bytes } })).outputs.a, bytes);
  const results = [{ value: [["a\n", ""], []] }, { error: "broken\n" }];
  assert.deepEqual((await dagyo.run(copy("Result<list<list<utf8-string>>>"), { inputs: { in: results } })).outputs.b, results);
});

test("takes arrays, iterables, bytes and streams", async () => {
  function* sync() {
    yield "Ada";
    yield "Bob";
  }
  async function* async() {
    yield* sync();
  }
  const { Readable } = await import("node:stream");
  const lines = "Ada\nBob\n";
  const sources = [sync(), async(), new Set(["Ada", "Bob"]), new Blob([lines]), new TextEncoder().encode(lines), new Blob([lines]).stream(), Readable.from([Buffer.from(lines)], { objectMode: false })];
  for (const names of sources) {
    assert.deepEqual((await dagyo.run(greet, { inputs: { names } })).outputs.greetings, ["hello Ada", "hello Bob"]);
  }
  const whole = new Blob([Uint8Array.of(1, 10, 2)]);
  assert.deepEqual((await dagyo.run(copy("octets"), { inputs: { in: whole } })).outputs.a, [Uint8Array.of(1, 10, 2)]);
  await assert.rejects(dagyo.run(greet, { inputs: { names: "Ada" } }), /put a single record into an array/);
  await assert.rejects(dagyo.run(greet, { inputs: { names: [5 as unknown as string] } }), /a record of typename utf8-string must be a string, not a number/);
});

test("passes outputs to sinks", async () => {
  const { outputs } = await dagyo.run(copy("json"), {
    inputs: { in: [1, 2, 3] },
    outputs: {
      a: async (records) => {
        let sum = 0;
        for await (const r of records) sum += r as number;
        return sum;
      },
    },
  });
  const sum: number = outputs.a;
  assert.deepEqual([sum, outputs.b], [6, [1, 2, 3]]);
  const broken = dagyo.run(numbers, { id: "broken-sink", outputs: { number: () => Promise.reject(new RangeError("the disk is full")) } });
  await assert.rejects(broken, RangeError);
  await cancelled("broken-sink", /the disk is full/);
});

test("an output that ends early is complete", async () => {
  const first: FlowDocument = { nodes: { h: { progdef: "head", with: { n: ["2"] }, types: { T: "json" } } }, inputs: { in: "h.in" }, outputs: { out: "h.out" } };
  let end = () => {};
  const ended = new Promise<void>((done) => (end = done));
  async function* endless() {
    try {
      for (let i = 0; ; i++) yield i;
    } finally {
      end();
    }
  }
  assert.deepEqual((await dagyo.run(first, { inputs: { in: endless() } })).outputs, { out: [0, 1] });
  await ended;
});

test("an invalid document has problems", async () => {
  const error = await dagyo.run({ nodes: { a: { progdef: "gret" } } }).catch((e) => e);
  assert.ok(error instanceof DagyoError && error.status === 422, String(error));
  assert.equal(error.problems[0]?.pointer, "/nodes/a/progdef");
  assert.match(error.problems[0]?.hint ?? "", /did you mean "greet"/);
  assert.match(error.message, /did you mean "greet"/);
  await assert.rejects(dagyo.run(greet, {}), /the flow has the inputs names: give each/);
  await assert.rejects(dagyo.run(greet, { inputs: { names: [], toString: [] } as never }), /the flow has no inputs toString: it has names/);
});

test("a panicking flow has failures", async () => {
  const error = await dagyo.run(assertion, { inputs: { in: [{ value: "fine" }, { error: "out of </ink>\n" }] } }).catch((e) => e);
  assert.ok(error instanceof FlowError, String(error));
  assert.equal(error.verdict, "flow.panic");
  assert.equal(error.failures[0]?.job, "check");
  assert.match(error.message, /flow-[a-v0-9]+ panicked: check: .*out of <\/ink>/);
});

test("a cancelled flow has a reason", async () => {
  async function* names() {
    yield "Ada";
    await dagyo.cancel("endless", { reason: "enough\nof it" });
    await new Promise(() => undefined);
  }
  const error = await dagyo.run(greet, { id: "endless", inputs: { names: names() } }).catch((e) => e);
  assert.ok(error instanceof FlowError, String(error));
  assert.deepEqual([error.verdict, error.reason], ["flow.cancelled", "enough\nof it"]);
});

test("a source that fails cancels the flow", async () => {
  async function* broken() {
    yield "Ada";
    throw new RangeError("no more names");
  }
  await assert.rejects(dagyo.run(greet, { id: "broken-source", inputs: { names: broken() } }), RangeError);
  await cancelled("broken-source", /no more names/);
  const wrong = dagyo.run(drop("json"), { id: "broken-json", inputs: { in: new Blob(["{"]) } });
  await assert.rejects(wrong, (e) => e instanceof DagyoError && e.status === 400);
  await cancelled("broken-json", /JSON/);
});

test("aborting a run cancels the flow", async () => {
  const control = new AbortController();
  const run = dagyo.run(numbers, { id: "aborted", signal: control.signal, outputs: { number: async (all) => {
    for await (const n of all) if (n === 10) control.abort(new RangeError("too long"));
  } } });
  await assert.rejects(run, RangeError);
  await cancelled("aborted", /too long|gone/);
  await assert.rejects(dagyo.run(greet, { inputs: { names: ["Ada"] }, signal: AbortSignal.abort() }), { name: "AbortError" });
  async function* never() {
    await new Promise(() => undefined);
    yield "";
  }
  const signal = AbortSignal.timeout(500);
  await assert.rejects(dagyo.run(greet, { id: "timed-out", inputs: { names: never() }, signal }), { name: "TimeoutError" });
  await cancelled("timed-out", /timeout|gone/);
});

test("a flow of another client is left alone", async () => {
  await dagyo.submit(greet, { id: "held" });
  let release = () => {};
  async function* names() {
    yield "Ada";
    await new Promise<void>((done) => (release = done));
  }
  const feeding = dagyo.feed("held", "names", names());
  const reading = dagyo.read("held", "greetings");
  assert.equal((await reading.next()).value, "hello Ada");
  const conflict = (e: unknown) => e instanceof DagyoError && e.status === 409;
  await assert.rejects(dagyo.run(greet, { id: "held", inputs: { names: ["Bob"] } }), conflict);
  await assert.rejects(dagyo.run(numbers, { id: "held" }), conflict);
  release();
  assert.equal((await feeding).records, 1);
  assert.equal((await reading.next()).done, true);
  assert.equal((await dagyo.wait("held")).verdict, "flow.completed");
});

test("the gateway is found", async () => {
  assert.equal((await new Dagyo().session()).user, "ada");
  assert.equal((await new Dagyo({ url: undefined, token: undefined }).session()).user, "ada");
  process.env.DAGYO_HTTP_URL = running.url + "/";
  try {
    await assert.rejects(new Dagyo().session(), { status: 401 }, "the token of `dagyo up` was sent to another address");
    process.env.DAGYO_HTTP_TOKEN = running.token;
    assert.equal((await new Dagyo().session()).user, "ada");
    await assert.rejects(new Dagyo({ token: "wrong" }).session(), { status: 401 });
  } finally {
    delete process.env.DAGYO_HTTP_URL;
    delete process.env.DAGYO_HTTP_TOKEN;
  }
  const { XDG_STATE_HOME } = process.env;
  process.env.XDG_STATE_HOME = "/nowhere";
  assert.throws(() => new Dagyo(), /no gateway is known: start `dagyo up`/);
  process.env.XDG_STATE_HOME = XDG_STATE_HOME;
});

test("a credentials file says who the user is", async () => {
  const bob = new Dagyo({ url: dagyo.url, credentials: running.addUser("bob", "user") });
  assert.equal((await bob.session()).user, "bob");
  const { flow } = await bob.run(greet, { inputs: { names: ["Ada"] } });
  assert.equal((await bob.show(flow)).owner, "bob");
  const eve = new Dagyo({ url: dagyo.url, credentials: new TextEncoder().encode(running.addUser("eve", "viewer")) });
  await assert.rejects(eve.run(greet, { inputs: { names: [] } }), (e) => e instanceof DagyoError && e.status === 403);
});

test("wrong credentials and addresses are errors", async () => {
  const wrong = new Dagyo({ url: dagyo.url, token: "wrong" });
  await assert.rejects(wrong.run(greet, { inputs: { names: [] } }), (e) => e instanceof DagyoError && e.status === 401);
  const credentials = new Dagyo({ url: dagyo.url, credentials: "-----BEGIN NATS USER JWT-----\nno\n" });
  await assert.rejects(credentials.session(), (e) => e instanceof DagyoError && e.status === 401);
  const nobody = new Dagyo({ url: "http://127.0.0.1:1" });
  await assert.rejects(nobody.show("x"), (e) => e instanceof DagyoError && e.status === 0 && /http:\/\/127.0.0.1:1 does not answer/.test(e.message));
});
