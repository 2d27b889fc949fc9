// Flows step by step, and the rest of the API.

import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Dagyo, DagyoError, FlowError, type Fetch } from "@dagyo/client";
import { start, type Running } from "./dagyo.js";
import { copy, drop, greet, numbers } from "./flows.js";

let dagyo: Dagyo;
let running: Running;
before(async () => {
  running = await start();
  dagyo = running.client;
});
after(() => running.stop());

async function all<T>(from: AsyncIterable<T>): Promise<T[]> {
  const out: T[] = [];
  for await (const item of from) out.push(item);
  return out;
}

test("submits, feeds, reads, follows and shows", async () => {
  assert.equal((await dagyo.validate(greet)).flow?.edges[0]?.type, "utf8-string");
  assert.equal((await dagyo.validate({ nodes: { a: { progdef: "nothing" } } })).problems?.[0]?.code, "unknown-progdef");
  const submitted = await dagyo.submit(greet, { id: "steps" });
  assert.deepEqual(submitted, { flow: "steps", state: "validated", inputs: ["names"], outputs: ["greetings"] });
  assert.deepEqual(await dagyo.submit(greet, { id: "steps" }), submitted);
  await assert.rejects(dagyo.submit(numbers, { id: "steps" }), (e) => e instanceof DagyoError && e.status === 409);
  const [fed, read] = await Promise.all([dagyo.feed("steps", "names", ["Ada", "Bob"]), all(dagyo.read("steps", "greetings"))]);
  assert.deepEqual(fed, { records: 2, bytes: 6 });
  assert.deepEqual(read, ["hello Ada", "hello Bob"]);
  const events = await all(dagyo.follow("steps"));
  assert.equal(events[0]?.type, "flow.validated");
  assert.equal(events.at(-1)?.type, "flow.completed");
  const behind = await all(dagyo.follow("steps", { after: events[1]!.seq }));
  assert.deepEqual(behind, events.slice(2));
  assert.equal((await dagyo.show("steps")).owner, "ada");
  assert.equal((await dagyo.wait("steps")).verdict, "flow.completed");
  assert.equal((await all(dagyo.follow("steps", { until: "cleaned" }))).at(-1)?.type, "flow.cleaned");
  await assert.rejects(all(dagyo.read("steps", "nothing")), (e) => e instanceof DagyoError && [404, 410].includes(e.status));
  await assert.rejects(dagyo.feed("nobody", "in", []), (e) => e instanceof DagyoError && e.status === 404);
});

test("lists flows by pages", async () => {
  for (const id of ["list-a", "list-b", "list-c"]) {
    await dagyo.submit({ nodes: {} }, { id });
    await dagyo.wait(id);
  }
  const ids = (await all(dagyo.list({ search: "list-", state: ["completed", "flow.panic"], pageSize: 2 }))).map((f) => f.flow);
  assert.deepEqual(ids.sort(), ["list-a", "list-b", "list-c"]);
  assert.deepEqual(await all(dagyo.list({ since: new Date(Date.now() + 3_600_000) })), []);
  assert.deepEqual(await all(dagyo.list({ live: true, search: "list-" })), []);
  assert.deepEqual((await all(dagyo.list({ user: "ada", search: "list-a" }))).map((f) => f.owner), ["ada"]);
  assert.deepEqual(await all(dagyo.list({ user: "eve" })), []);
  for await (const f of dagyo.list({ pageSize: 1 })) {
    assert.ok(f.phase);
    break;
  }
});

test("reads what jobs log, and samples of an edge", async () => {
  const document = { name: "noisy", command: ["dagyo", "exec", "--", "sh", "-c", "cat; echo done >&2"], inputs: { in: "utf8-string" }, outputs: { out: "utf8-string" } };
  await dagyo.publishProgdef(document);
  const { flow } = await dagyo.run({ nodes: { n: { progdef: "noisy" } }, inputs: { in: "n.in" }, outputs: { out: "n.out" } }, { inputs: { in: ["a"] } });
  for (const options of [{}, { node: "n", follow: true }]) {
    assert.deepEqual((await all(dagyo.logs(flow, options))).map((l) => [l.job, l.text]), [["n", "done"]]);
  }
  await dagyo.submit({ nodes: { n: { progdef: "counter" }, v: { progdef: "void_sink" } }, edges: [{ from: "n.number", to: "v.in" }] }, { id: "tapped" });
  for await (const s of dagyo.tap("tapped", "n.number")) {
    assert.equal(s.type, "json");
    const [record] = s.records;
    if (!record) continue; // it has just begun
    assert.match(atob(record.base64), /^\d+$/);
    break;
  }
  await dagyo.cancel("tapped");
  await assert.rejects(all(dagyo.tap("tapped", "n.nothing")), (e) => e instanceof DagyoError && [404, 410].includes(e.status));
});

test("reads and changes the catalogue", async () => {
  assert.ok((await dagyo.progdefs()).some((p) => p.document.name === "greet"));
  assert.equal((await dagyo.progdef("greet")).document.name, "greet");
  assert.match((await dagyo.publishProgdef({ name: "mine", command: ["true"] })).revision, /^[0-9a-f]+$/);
  await assert.rejects(dagyo.publishProgdef({ name: "mine", comand: ["true"] }), (e) => e instanceof DagyoError && e.problems.some((p) => p.pointer === "/comand"));
  await dagyo.removeProgdef("mine");
  await assert.rejects(dagyo.progdef("mine"), (e) => e instanceof DagyoError && e.status === 404);
  assert.ok((await dagyo.executors()).length > 0);
  assert.equal((await dagyo.executors({ progdef: "greet" }))[0]?.progdef, "greet");
  assert.ok((await dagyo.types()).some((t) => t.name === "json"));
  assert.equal((await dagyo.type("json")).name, "json");
  const found = await dagyo.compatible({ flow: { nodes: { t: { progdef: "tee" } } }, node: "t", port: "in" });
  assert.ok(found.ports.length > 0);
  const [stored] = await dagyo.publish([{ type: "type.apply", subject: "invoice", id: "t1", data: { name: "invoice", description: "An invoice." } }]);
  assert.equal(stored?.id, "t1");
  assert.equal((await dagyo.session()).user, "ada");
});

test("names cannot leave their place in a path", async () => {
  await assert.rejects(dagyo.removeProgdef(".."), /"\.\." is not a name/);
  await assert.rejects(dagyo.show(""), /"" is not a name/);
  await assert.rejects(dagyo.show("../progdefs?x#"), (e) => e instanceof DagyoError && e.status === 404);
});

/** Returns the memory that is in use behind a collection of garbage, in MiB. */
function memory(): number {
  gc();
  const { heapUsed, external } = process.memoryUsage();
  return (heapUsed + external) / (1 << 20);
}
setFlagsFromString("--expose-gc");
const gc = runInNewContext("gc") as () => void;

test("a large input is streamed in bounded memory", async () => {
  const record = new Uint8Array(1 << 20).map((_, i) => i * 7);
  async function* large() {
    for (let i = 0; i < 50; i++) yield record;
  }
  const begun = memory();
  let most = 0;
  const { outputs } = await dagyo.run(copy("octets"), {
    inputs: { in: large() },
    outputs: {
      a: async (records) => {
        let received = 0;
        for await (const r of records) {
          received += r.length;
          most = Math.max(most, memory() - begun);
        }
        return received;
      },
      b: async (records) => {
        for await (const r of records) assert.equal(r[255], record[255]);
      },
    },
  });
  assert.equal(outputs.a, 50 << 20);
  assert.ok(most < 50, `the memory grew by ${most} MiB`);
  const bytes = new Blob([new Uint8Array(50 << 20)]);
  await dagyo.submit(drop("octets"), { id: "large-blob" });
  assert.deepEqual(await dagyo.feed("large-blob", "in", bytes), { records: 1, bytes: 50 << 20 });
});

test("a slow reader slows the source down", async () => {
  let sent = 0;
  async function* source() {
    for (; sent < 200_000; sent++) yield "x".repeat(1000);
  }
  await dagyo.submit(greet, { id: "slow" });
  const control = new AbortController();
  const feeding = dagyo.feed("slow", "names", source(), { signal: control.signal });
  const ended = assert.rejects(feeding, { name: "AbortError" });
  const reading = dagyo.read("slow", "greetings");
  assert.equal(((await reading.next()).value as string).slice(0, 7), "hello x");
  for (let before = -1; before !== sent; ) {
    before = sent;
    await new Promise((done) => setTimeout(done, 500));
  }
  assert.ok(sent < 100_000, `${sent} records were sent to a reader that does not read`);
  control.abort();
  await ended;
  await reading.return();
  await assert.rejects(dagyo.wait("slow"), FlowError);
});

test("bytes are read as they are", async () => {
  await dagyo.submit(copy("octets"), { id: "bytes" });
  const [a, b] = await Promise.all([
    dagyo.readBytes("bytes", "a").then((body) => new Response(body).arrayBuffer()),
    dagyo.readBytes("bytes", "b", { format: "base64" }).then((body) => new Response(body).text()),
    dagyo.feed("bytes", "in", [Uint8Array.of(1, 2), Uint8Array.of(3)]),
  ]);
  assert.deepEqual([[...new Uint8Array(a)], b], [[1, 2, 3], "AQI=\nAw==\n"]);
});

test("a reader that stops early ends the flow", async () => {
  await dagyo.submit(numbers, { id: "early" });
  for await (const n of dagyo.read("early", "number")) if (n === 5) break;
  await assert.rejects(dagyo.wait("early"), (e) => e instanceof FlowError && e.verdict === "flow.cancelled");
});

/** Returns a client whose requests are handled by a function, which may pass them on. */
function proxied(handle: (url: string, real: () => Promise<Response>) => Promise<Response>): Dagyo {
  const { url, token } = running;
  const through: Fetch = (url, init) => handle(url, () => fetch(url, init));
  return new Dagyo({ url, token, fetch: through });
}

test("events go on behind the last one when the connection is lost", async () => {
  await dagyo.submit(greet, { id: "lost" });
  let connections = 0;
  const flaky = proxied(async (url, real) => {
    if (!url.includes("/events")) return real();
    connections++;
    if (connections === 2) throw new TypeError("connection refused");
    if (connections === 3) return new Response("busy", { status: 503 });
    const answer = await real();
    if (connections > 4) return answer;
    let left = 2; // events, and then the connection is lost in the middle of one; a chunk may have several
    const decoder = new TextDecoder();
    const cut = new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, to) {
        for (const part of decoder.decode(chunk, { stream: true }).split(/(?<=\n\n)/)) {
          to.enqueue(new TextEncoder().encode(left > 0 ? part : part.slice(0, 20)));
          if (left === 0) return to.error(new TypeError("connection lost"));
          if (part.endsWith("\n\n")) left--;
        }
      },
    });
    return new Response(answer.body!.pipeThrough(cut), { status: answer.status });
  });
  const events = all(flaky.follow("lost"));
  await Promise.all([dagyo.feed("lost", "names", ["Ada"]), all(dagyo.read("lost", "greetings"))]);
  assert.deepEqual(await events, await all(dagyo.follow("lost")));
  assert.ok(connections >= 4, `${connections} connections`);
});

test("nothing is retried for ever, and nothing that is not safe", async () => {
  let requests = 0;
  const busy = proxied(async () => {
    requests++;
    return new Response(JSON.stringify({ status: 503, detail: "no service answers" }), { status: 503 });
  });
  await assert.rejects(busy.show("x"), (e) => e instanceof DagyoError && e.status === 503 && e.detail === "no service answers");
  assert.equal(requests, 5);
  requests = 0;
  await assert.rejects(busy.feed("x", "in", ["a"], { type: "utf8-string" }), { status: 503 });
  assert.equal(requests, 1);
  await assert.rejects(all(busy.follow("x", { signal: AbortSignal.timeout(300) })), { name: "TimeoutError" });
});

test("a connection that is cut is not the end of an output", async () => {
  let server: Server | undefined;
  try {
    server = createServer((req, res) => {
      if (!req.url?.includes("/outputs/")) {
        res.setHeader("Content-Type", "application/json");
        res.end(JSON.stringify({ flow: "x", phase: "flow.spawned", jobs: {}, stream: "s", outputs: { out: { type: "json" } } }));
        return;
      }
      res.write("1\n");
      setTimeout(() => res.destroy(), 50);
    }).listen(0, "127.0.0.1");
    await new Promise((done) => server!.once("listening", done));
    const broken = new Dagyo({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
    const seen: unknown[] = [];
    await assert.rejects(
      async () => {
        for await (const n of broken.read("x", "out")) seen.push(n);
      },
      (e) => e instanceof DagyoError && /was lost/.test(e.message),
    );
    assert.deepEqual(seen, [1]);
  } finally {
    server?.close();
  }
});

test("webhooks are applied, tested, delivered to, and removed", async () => {
  const got: { type: string; subject: string }[] = [];
  let arrived: () => void = () => undefined;
  const receiver = createServer(async (req, res) => {
    let body = "";
    for await (const chunk of req) body += chunk;
    got.push(JSON.parse(body));
    res.end();
    arrived();
  }).listen(0, "127.0.0.1");
  await new Promise((done) => receiver.once("listening", done));
  const url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/`;
  try {
    const applied = await dagyo.applyWebhook({ name: "ends", url, events: ["flow.completed"] });
    assert.deepEqual(applied.document, { name: "ends", url, events: ["flow.completed"] });
    assert.match(applied.key, /^whpk_/);
    const tested = await dagyo.testWebhook("ends");
    assert.deepEqual([tested.delivered, tested.status, got[0]?.type], [true, 200, "webhook.test"]);
    const delivered = new Promise<void>((done) => (arrived = done));
    const { flow } = await dagyo.run(greet, { inputs: { names: ["Ada"] } });
    await delivered;
    assert.deepEqual([got[1]?.type, got[1]?.subject], ["flow.completed", flow]);
    assert.deepEqual((await dagyo.webhooks()).map((w) => w.document.name), ["ends"]);
    assert.equal(typeof (await dagyo.webhook("ends")).pending, "number");
    const { key } = await dagyo.rotateWebhook("ends");
    assert.deepEqual((await dagyo.webhook("ends")).keys.map((k) => k.key), [key, applied.key]);
  } finally {
    receiver.closeAllConnections();
    await new Promise((done) => receiver.close(done));
  }
  assert.equal((await dagyo.testWebhook("ends")).delivered, false);
  await assert.rejects(dagyo.applyWebhook({ name: "ends", url: "ftp://x" }), (e) => e instanceof DagyoError && e.problems[0]?.code === "bad-url");
  const viewer = new Dagyo({ url: dagyo.url, credentials: running.addUser("looks", "viewer") });
  assert.equal((await viewer.webhooks()).length, 1);
  await assert.rejects(viewer.removeWebhook("ends"), { status: 403 });
  await dagyo.removeWebhook("ends");
  assert.deepEqual(await dagyo.webhooks(), []);
  await assert.rejects(dagyo.webhook("ends"), { status: 404 });
});

test("an answer of something else is an error", async () => {
  const other = proxied(async () => new Response("<html>", { status: 200 }));
  await assert.rejects(other.show("x"), /is not JSON: is this the address of a gateway\?/);
  const gate = proxied(async () => new Response("<html>", { status: 502, statusText: "Bad Gateway" }));
  await assert.rejects(gate.show("x"), { status: 502, detail: "Bad Gateway" });
});
