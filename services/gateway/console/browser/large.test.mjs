// Large flows: a real one of 1,000 nodes that run, and the picture of 10,000.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { signedIn, start } from "./dagyo.mjs";

let d;
before(async () => {
  d = await start();
});
after(() => d?.stop());

/** Prints the frames a second while `work` runs, and the longest task of the page: how long it lasted, and its time on the processor. */
async function measure(page, name, work) {
  await d.browser.startTracing(page, { categories: ["toplevel"] });
  await page.evaluate(() => {
    const f = (window.frames_ = { n: 0, began: performance.now(), stop: false });
    const frame = () => (f.n++, f.stop || requestAnimationFrame(frame));
    requestAnimationFrame(frame);
  });
  await work();
  const fps = await page.evaluate(() => {
    window.frames_.stop = true;
    return window.frames_.n / ((performance.now() - window.frames_.began) / 1000);
  });
  const { traceEvents } = JSON.parse(await d.browser.stopTracing());
  const main = new Set(traceEvents.filter((e) => e.name === "thread_name" && e.args.name === "CrRendererMain").map((e) => `${e.pid} ${e.tid}`));
  const tasks = traceEvents.filter((e) => e.tdur !== undefined && main.has(`${e.pid} ${e.tid}`));
  const longest = (field) => tasks.reduce((max, e) => Math.max(max, e[field]), 0) / 1000;
  console.log(`${name}: ${fps.toFixed(0)} frames a second, longest task ${longest("dur").toFixed(0)} ms, on the processor ${longest("tdur").toFixed(0)} ms`);
}

async function pan(page) {
  await page.mouse.move(700, 600);
  await page.mouse.down();
  for (let i = 1; i <= 40; i++) await page.mouse.move(700 + 5 * i, 600 - 4 * i);
  await page.mouse.up();
}

async function zoom(page, by, times) {
  await page.mouse.move(700, 500);
  for (let i = 0; i < times; i++) await page.mouse.wheel(0, by);
}

const submit = (page, doc) =>
  page.evaluate(async (doc) => {
    const headers = { Authorization: "Bearer " + localStorage.getItem("dagyo.token"), "Content-Type": "application/json", Prefer: "wait" };
    const answer = await fetch("/v1/flows", { method: "POST", headers, body: JSON.stringify(doc) });
    const body = await answer.json();
    if (!answer.ok) throw new Error(body.detail + JSON.stringify(body.problems ?? []).slice(0, 500));
    return body.flow;
  }, doc);

// With FULL_RATE, its nodes send what they can, to measure the page beside that. Otherwise most are done, and some wait for inputs:
// a machine that runs other tests has no processor left for 200 counters.
const full = process.env.FULL_RATE !== undefined;

function thousand() {
  const [nodes, edges, inputs] = [{}, [], {}];
  for (let i = 0; i < 200; i++) {
    const first = full ? { progdef: "counter" } : { progdef: "head", types: { T: "json" }, with: { n: ["1"], ...(i >= 4 && { in: ["1", "2"] }) } };
    Object.assign(nodes, { ["n" + i]: first, ["t" + i]: { progdef: "tee" }, ["c" + i]: { progdef: "count" }, ["v" + i]: { progdef: "void_sink" }, ["w" + i]: { progdef: "void_sink" } });
    edges.push({ from: `n${i}.${full ? "number" : "out"}`, to: `t${i}.in` }, { from: `t${i}.a`, to: `c${i}.in` }, { from: `t${i}.b`, to: `v${i}.in` }, { from: `c${i}.count`, to: `w${i}.in` });
    if (!full && i < 4) inputs["in" + i] = `n${i}.in`;
  }
  return { nodes, edges, inputs };
}

test("1,000 running nodes: clusters, search, and all of them", async () => {
  const page = await signedIn(d);
  await page.goto(d.url + "/flows/" + (await submit(page, thousand())));
  const node = (id) => page.locator(`.svelte-flow__node[data-id="${id}"]`);
  await node("tee@1").waitFor();
  await page.locator(".sums", { hasText: full ? "1000 running" : "980 done" }).waitFor();
  if (full) assert.equal(await page.locator(".svelte-flow__node").count(), 5);
  const seconds = (n) => () => page.evaluate((ms) => new Promise((done) => setTimeout(done, ms)), 1000 * n);
  if (full) await measure(page, "1,000 running nodes, clusters", seconds(3));

  await page.getByRole("button", { name: "All nodes" }).click();
  await page.locator(".svelte-flow__node").first().waitFor({ state: "detached" }); // painted
  if (full) await measure(page, "1,000 running nodes, all in view", seconds(3));
  await measure(page, "1,000 running nodes, all in view, moved", () => pan(page));

  // By keyboard: to a node, and into its panel.
  await page.locator("body").press("/");
  await page.keyboard.type(full ? "t19 running" : "t19 done");
  await page.getByText("8 of 11").waitFor();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await page.getByRole("complementary", { name: "Node t190" }).waitFor();
  await node("t190").getByText("tee").waitFor();
  if (full) await measure(page, "1,000 running nodes, near", seconds(3));
  await measure(page, "1,000 running nodes, near, moved", () => pan(page));

  // One that was found stands apart from its cluster; unfolded, all do.
  await page.getByRole("button", { name: "All nodes" }).click();
  await node("tee@1").waitFor();
  await node("t190").waitFor();
  await node("count@2").focus();
  await page.keyboard.press("Enter"); // selects
  await page.getByRole("heading", { name: /A cluster of \d+ nodes/ }).waitFor();
  await page.keyboard.press("Enter");
  await node("count@2").waitFor({ state: "detached" });
  await page.locator("body").press("l");
  await page.getByText("more nodes not shown").waitFor();
  assert.equal(await page.locator("tbody tr").count(), 500);
  await page.getByRole("combobox").fill("w42");
  await page.locator("tbody tr").nth(1).waitFor({ state: "detached" });
  await page.locator("tbody tr", { hasText: "w42" }).waitFor();
  assert.deepEqual(page.wrong, []);
  await page.getByRole("combobox").press("Escape"); // clears
  await page.getByRole("combobox").press("Escape"); // leaves
  await page.locator("body").press("x");
  await page.getByRole("button", { name: "Cancel flow" }).last().click();
  await page.locator(".badge", { hasText: "Cancelled" }).waitFor();
  await page.context().close();
});

/** The status of a flow of 10,000 nodes: too many to run here. */
function status(nodes, look, depth) {
  const jobs = {};
  const edges = [];
  for (let i = 0; i < nodes; i++) {
    jobs["n" + i] = { state: i % 97 === 0 ? "done" : "running", progdef: "step_" + (depth > 10 ? "any" : i % depth), revision: "0123456789", executor: `step-${i % 9}-abc` };
    if (i % depth === 0) continue;
    const records = look * 100 + i;
    edges.push({ from: `n${i - 1}.out`, to: `n${i}.in`, sent: { records, bytes: 10 * records }, received: { records, bytes: 10 * records }, fill: i % 100 });
  }
  return { flow: "large", phase: "job.started", submitted: new Date(Date.now() - 60_000).toISOString(), jobs, edges };
}

for (const [name, depth] of [["2,000 lines of 5", 5], ["100 lines of 100", 100]]) {
  test(`10,000 nodes: ${name}`, async () => {
    const page = await signedIn(d);
    let looks = 0;
    await page.route("**/v1/flows/large", (r) => r.fulfill({ json: status(10_000, ++looks, depth) }));
    await page.route("**/v1/flows/large/events*", (r) => r.fulfill({ status: 404, json: { status: 404, detail: "no events" } }));
    const more = async (n) => {
      for (const until = looks + n; looks < until; ) await page.waitForResponse("**/v1/flows/large");
    };
    await measure(page, `${name}: opened`, async () => {
      await page.evaluate(() => (history.pushState(null, "", "/flows/large"), dispatchEvent(new PopStateEvent("popstate"))));
      await page.locator(".cluster").first().waitFor();
      await more(2);
    });
    await measure(page, `${name}: clusters, moved`, () => pan(page));
    await measure(page, `${name}: all`, async () => {
      await page.getByRole("button", { name: "All nodes" }).click();
      await page.locator(".svelte-flow__node").first().waitFor({ state: "detached" });
      await more(2);
    });
    await measure(page, `${name}: all, moved`, () => pan(page));
    await measure(page, `${name}: all, zoomed in`, () => zoom(page, -300, 12));
    await measure(page, `${name}: near, moved`, () => pan(page));
    await measure(page, `${name}: searched`, async () => {
      await page.locator("body").press("/");
      await page.keyboard.type("n9876");
      await page.keyboard.press("Enter");
      await page.getByRole("complementary", { name: "Node n9876" }).waitFor();
      await page.locator('.svelte-flow__node[data-id="n9876"]').waitFor();
    });
    await measure(page, `${name}: as a table`, async () => {
      await page.locator("body").press("l");
      await page.getByText("9,500 more nodes not shown").waitFor();
      await more(2);
    });
    await measure(page, `${name}: timeline`, async () => {
      await page.locator("body").press("2");
      await page.getByText("9,500 more are not shown").waitFor();
      await more(1);
    });
    assert.deepEqual(page.wrong, []);
    await page.context().close();
  });
}
