import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { createRequire } from "node:module";
import { open, provided, signedIn, start } from "./dagyo.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
let d;
before(async () => {
  d = await start();
});
after(() => d?.stop());

async function close(page) {
  assert.deepEqual(page.wrong, []);
  await page.context().close();
}

/** Composes a flow in the YAML pane. */
async function write(page, text, at = d) {
  await page.goto(at.url + "/compose");
  await page.locator(".cm-content").click();
  await page.keyboard.press("Control+a");
  await page.keyboard.insertText(text);
}

const endless = "nodes:\n  n: {progdef: counter}\n  v: {progdef: void_sink}\nedges:\n  - {from: n.number, to: v.in}\n";
const greet = "nodes:\n  hello: {progdef: greet}\ninputs:\n  names: hello.name\noutputs:\n  greetings: hello.greeting\n";

test("signing in and out", async () => {
  const link = d.link();
  const page = await open(d);
  await page.goto(link);
  await page.getByText("Live", { exact: true }).first().waitFor();
  assert.equal(new URL(page.url()).hash, "", "the code stays in the address");
  await page.reload();
  await page.getByRole("heading", { name: "Flows" }).waitFor();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("heading", { name: "Sign in to Dagyo" }).waitFor();
  const again = await open(d);
  await again.goto(link);
  await again.getByText("the code was used before").waitFor();
  assert.deepEqual(page.wrong, []);
  await page.context().close();
  await again.context().close();
});

test("a viewer sees, and may not change anything", async () => {
  const creds = d.run("user", "add", "vera", "--role", "viewer", "--out", "-");
  const page = await open(d);
  await page.goto(d.url);
  await page.locator("input[type=file]").setInputFiles({ name: "nothing.creds", mimeType: "text/plain", buffer: Buffer.from("nothing") });
  await page.getByText("This is not a credentials file").waitFor();
  await page.locator("input[type=file]").setInputFiles({ name: "vera.creds", mimeType: "text/plain", buffer: Buffer.from(creds) });
  await page.getByRole("heading", { name: "Flows" }).waitFor();
  await page.getByText("vera", { exact: true }).waitFor();
  await write(page, greet);
  await page.getByText("Valid", { exact: true }).waitFor();
  const run = page.getByRole("button", { name: /^Run/ });
  assert.equal(await run.getAttribute("aria-disabled"), "true");
  await page.getByText("Your role, viewer, may not run flows").waitFor();
  await run.click({ force: true });
  assert.equal(new URL(page.url()).pathname, "/compose");
  // The broker decides, whatever the page says.
  const status = await page.evaluate(async () => {
    const headers = { Authorization: "Bearer " + sessionStorage.getItem("dagyo.token"), "Content-Type": "application/json" };
    return (await fetch("/v1/flows", { method: "POST", headers, body: '{"nodes": {}}' })).status;
  });
  assert.equal(status, 403);
  await page.context().close();
});

test("signing in with a provider", async () => {
  const g = await provided(d);
  try {
    const page = await open(g);
    await page.goto(g.url + "/catalogue");
    const away = async () => {
      await page.getByRole("button", { name: "Sign in with Acme" }).click();
      await page.getByLabel("Username:").waitFor();
    };
    const enter = async (name) => {
      await page.getByLabel("Username:").fill(name);
      await page.getByLabel("Password:").fill("verysecure");
      await page.getByRole("button", { name: "Login" }).click();
    };
    await page.evaluate(axe);
    const found = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
    assert.deepEqual(found.violations.map((v) => v.id), []);

    // A viewer, who comes back to the same page, and may not change anything.
    await away();
    await enter("vera");
    await page.getByText("sso-vera", { exact: true }).waitFor();
    assert.equal(page.url(), g.url + "/catalogue", "the code stays in the address, or another page is shown");
    await page.getByText("Your session ends in").waitFor(); // it lasts for five minutes
    assert.equal(await page.evaluate(() => sessionStorage.getItem("dagyo.sign-in")), null);
    await page.goBack(); // not with the code of before
    await page.goto(g.url + "/catalogue");
    await write(page, endless, g);
    await page.getByText("Your role, viewer, may not run flows").waitFor();
    assert.equal(await page.getByRole("button", { name: /^Run/ }).getAttribute("aria-disabled"), "true");
    assert.equal(await page.getByRole("button", { name: "Publish…" }).isDisabled(), true);
    const own = await signedIn(d);
    await write(own, endless);
    await own.getByText("Valid", { exact: true }).waitFor();
    await own.getByRole("button", { name: /^Run/ }).click();
    await own.waitForURL(/flows\/[^/?]+/);
    const flow = new URL(own.url()).pathname;
    await page.goto(g.url + flow);
    const cancel = page.getByRole("button", { name: "Cancel flow" });
    await cancel.waitFor();
    assert.equal(await cancel.getAttribute("aria-disabled"), "true");
    await cancel.click({ force: true });
    assert.equal(await page.getByRole("dialog").count(), 0);
    const status = await page.evaluate(async (flow) => {
      const headers = { Authorization: "Bearer " + sessionStorage.getItem("dagyo.token") };
      return (await fetch(`/v1${flow}/cancel`, { method: "POST", headers })).status;
    }, flow);
    assert.equal(status, 403);
    await own.locator("body").press("x");
    await own.getByRole("button", { name: "Cancel flow" }).last().click();
    await own.locator(".badge", { hasText: "Cancelled" }).waitFor();
    await close(own);

    // Signing out, and in again as somebody else, in the same browser.
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("button", { name: "Sign in with Acme" }).waitFor();
    assert.deepEqual(await page.evaluate(() => [sessionStorage.length, localStorage.getItem("dagyo.token")]), [0, null]);
    await away();
    await enter("mallory");
    await page.getByText("you are sso-mallory, and no rule gives you a role").waitFor();
    assert.equal(new URL(page.url()).search, "");
    await away();
    await enter("ada.l");
    await page.getByText("sso-ada_l", { exact: true }).waitFor();

    // A personal token, which is used without the console.
    await page.getByRole("button", { name: "sso-ada_l" }).click();
    await page.getByLabel("What it is for").fill("ci");
    await page.getByRole("button", { name: "Make" }).click();
    const link = page.getByRole("link", { name: "Download ci.creds" });
    await link.waitFor();
    await page.evaluate(axe);
    assert.deepEqual(await page.evaluate(async () => (await axe.run(document, { resultTypes: ["violations"] })).violations.map((v) => v.id)), []);
    const [download] = await Promise.all([page.waitForEvent("download"), link.click()]);
    assert.equal(download.suggestedFilename(), "ci.creds");
    const bearer = readFileSync(await download.path()).toString("base64");
    const session = await (await fetch(g.url + "/v1/session", { headers: { Authorization: "Bearer " + bearer } })).json();
    assert.deepEqual([session.user, session.role, session.token], ["sso-ada_l", "user", "ci"]);
    await page.keyboard.press("Escape");

    // What another site makes the browser come back with is not taken.
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.goto(g.url + "/sign-in?code=stolen&state=guessed");
    await page.getByText("This answer of the provider is not for this tab").waitFor();
    await away();
    await page.goto(g.url + "/sign-in?code=stolen&state=guessed"); // while this tab waits for the provider
    await page.getByText("This answer of the provider is not for this tab").waitFor();
    await close(page);
  } finally {
    await g.stop();
  }
});

test("operators see what users hold, and get commands; others do not", async () => {
  const page = await signedIn(d);
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  await write(page, greet);
  await page.getByText("Valid", { exact: true }).waitFor();
  const flow = await page.evaluate(async () => {
    const headers = { Authorization: "Bearer " + localStorage.getItem("dagyo.token"), "Content-Type": "application/json", Prefer: "wait" };
    return (await (await fetch("/v1/flows", { method: "POST", headers, body: '{"nodes": {"hello": {"progdef": "greet"}}, "inputs": {"names": "hello.name"}, "outputs": {"o": "hello.greeting"}}' })).json()).flow;
  });
  await page.locator("body").click();
  await page.keyboard.press("Escape");
  await page.getByRole("link", { name: "Admin" }).click();
  await page.locator("tr", { hasText: "ada" }).getByText("1", { exact: true }).first().waitFor();
  await page.locator("tr", { hasText: "Executors, with idle" }).getByText("64").waitFor();
  await page.getByRole("textbox", { name: "Name" }).fill("bob");
  await page.getByRole("combobox", { name: "Role" }).selectOption("publisher");
  await page.getByRole("button", { name: "Copy dagyo user add bob --role publisher" }).click();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), "dagyo user add bob --role publisher");
  if (process.env.PICTURES) await page.screenshot({ path: process.env.PICTURES + "/admin.png" });
  await page.goto(d.url + "/flows/" + flow);
  await page.getByRole("button", { name: "Cancel flow" }).click();
  await page.getByRole("button", { name: "Cancel flow" }).last().click();
  await page.locator(".badge", { hasText: "Cancelled" }).waitFor();
  await close(page);

  const creds = d.run("user", "add", "uwe", "--role", "user", "--out", "-");
  const other = await open(d);
  await other.goto(d.url + "/admin");
  await other.locator("input[type=file]").setInputFiles({ name: "uwe.creds", mimeType: "text/plain", buffer: Buffer.from(creds) });
  await other.getByText("This page is for operators").waitFor();
  assert.equal(await other.getByRole("link", { name: "Admin" }).count(), 0);
  await close(other);
});

test("webhooks are added, tested, delivered to, edited and removed; a viewer only looks", async () => {
  const got = [];
  let status = 200;
  const receiver = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    got.push(JSON.parse(body));
    response.writeHead(status).end();
  }).listen(0, "127.0.0.1");
  await once(receiver, "listening");
  try {
    const page = await signedIn(d);
    await page.keyboard.press("g");
    await page.keyboard.press("w");
    await page.getByText("There are no webhooks").waitFor();
    await page.getByRole("button", { name: "Add webhook" }).focus();
    await page.keyboard.press("Enter");
    await page.keyboard.type("orders"); // the focus is in the name
    await page.keyboard.press("Tab");
    await page.keyboard.type("ftp://example.com");
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").getByRole("alert").getByText("/url").waitFor();
    await page.getByRole("textbox", { name: "URL" }).fill(`http://127.0.0.1:${receiver.address().port}/?key=hidden`);
    await page.keyboard.press("Enter");
    const panel = page.getByRole("complementary", { name: "Webhook orders" });
    await panel.getByText(/^whpk_/).waitFor();
    assert.equal(await page.locator("td", { hasText: "hidden" }).count(), 0, "the list has the query");
    await panel.getByRole("button", { name: "Send a test" }).click();
    await panel.getByText("The receiver has accepted the test (status 200)").waitFor();
    assert.equal(got[0].type, "webhook.test");
    await write(page, "nodes:\n  hello: {progdef: greet, with: {name: [Ada]}}\n  end: {progdef: void_sink}\nedges:\n  - {from: hello.greeting, to: end.in}\n");
    await page.getByText("Valid", { exact: true }).waitFor();
    await page.getByRole("button", { name: /^Run/ }).click();
    await page.locator(".badge", { hasText: "Completed" }).waitFor();
    await page.goto(d.url + "/webhooks?webhook=orders");
    await page.locator("tr", { hasText: "orders" }).getByText("Delivers").waitFor();
    assert.equal(got[1].type, "flow.completed");

    status = 500;
    await panel.getByRole("button", { name: "Send a test" }).click();
    await panel.getByText("The test was not delivered: status 500").waitFor();
    await panel.getByRole("button", { name: "New key" }).click();
    await page.getByRole("button", { name: "Make key" }).click();
    await panel.getByText(/^until /).waitFor();
    assert.equal(await panel.getByText(/^whpk_/).count(), 2);
    await panel.getByRole("button", { name: "Edit" }).click();
    await page.getByRole("checkbox", { name: "completed" }).uncheck();
    await page.getByRole("textbox", { name: "Only flows of these users" }).fill("ada");
    await page.getByRole("button", { name: "Save" }).click();
    await panel.getByText("panicked, cancelled", { exact: true }).waitFor();
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      await page.evaluate(() => Promise.allSettled(document.getAnimations().filter((a) => a.effect.getComputedTiming().endTime !== Infinity).map((a) => a.finished)));
      await page.evaluate(axe);
      const found = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
      assert.deepEqual(found.violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.target.join(" ")).slice(0, 3).join("; ")}`), []);
    }
    await page.setViewportSize({ width: 360, height: 740 });
    assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= 360, "the panel does not fit a phone");
    await page.setViewportSize({ width: 1280, height: 720 });

    const other = await open(d);
    await other.goto(d.url + "/webhooks?webhook=orders");
    const creds = d.run("user", "add", "vera", "--role", "viewer", "--out", "-");
    await other.locator("input[type=file]").setInputFiles({ name: "vera.creds", mimeType: "text/plain", buffer: Buffer.from(creds) });
    await other.getByText("Your role, viewer, may not publish").waitFor();
    await other.getByRole("complementary", { name: "Webhook orders" }).waitFor();
    for (const name of ["Add webhook", "Send a test", "Edit", "New key", "Remove"]) {
      const button = other.getByRole("button", { name });
      assert.equal(await button.getAttribute("aria-disabled"), "true", name);
      await button.click({ force: true });
      assert.equal(await other.getByRole("dialog").count(), 0, name);
    }
    await close(other);

    await panel.getByRole("button", { name: "Remove" }).click();
    await page.keyboard.press("Enter"); // the focus is on the safe one
    await panel.getByRole("button", { name: "Remove" }).click();
    await page.getByRole("button", { name: "Remove webhook" }).click();
    await page.getByText("There are no webhooks").waitFor();
    await close(page);
  } finally {
    receiver.closeAllConnections();
    receiver.close();
  }
});

test("composing by mouse, a type error, a fix, a run, and its history", async () => {
  const page = await signedIn(d);
  await page.goto(d.url + "/compose");
  await page.getByRole("button", { name: "New" }).click();
  const palette = page.getByRole("region", { name: "Palette" });
  const add = async (name) => {
    await palette.getByRole("searchbox").fill(name);
    await palette.locator("li button", { has: page.locator("strong", { hasText: new RegExp(`^${name}$`) }) }).click();
  };
  await add("http_get");
  await add("lines");
  await page.getByRole("button", { name: "Tidy" }).click();
  const handle = (node, port, side) => page.locator(`.svelte-flow__node[data-id="${node}"] .svelte-flow__handle[data-handleid="${port}"].${side}`);
  const drag = async (from, to) => {
    await from.hover(); // when it stands still
    await page.mouse.down();
    // The first move begins the wire, which lies above the port.
    for (const at of [4, 8]) await to.hover({ force: true, position: { x: at, y: at } });
    await page.mouse.up();
  };
  await drag(handle("http_get", "body", "source"), handle("lines", "in", "target"));
  await page.locator(".cm-content", { hasText: "http_get.body, to: lines.in" }).waitFor();
  // http_get gives Result<octets>: greet does not take that, so only the text can connect them.
  await write(page, "nodes:\n  http_get: {progdef: http_get}\n  greet: {progdef: greet}\nedges:\n  - {from: http_get.body, to: greet.name}\n");
  await page.getByRole("button", { name: "1 problem" }).click();
  await page.locator(".callout", { hasText: "writes Result<octets>" }).waitFor();
  await page.getByRole("button", { name: "Insert assert" }).click();
  await page.locator(".cm-content", { hasText: "to: assert.in" }).waitFor();
  await write(page, "nodes:\n  http_get: {progdef: http_get}\n  assert: {progdef: assert}\nedges:\n  - {from: http_get.body, to: assert.in}\n");
  await page.getByRole("button", { name: "Make them inputs and outputs" }).click();
  await page.getByText("Valid", { exact: true }).waitFor();

  await write(page, greet);
  await page.getByText("Valid", { exact: true }).waitFor();
  await page.getByRole("textbox", { name: "names" }).fill("Ada\nBob");
  const began = Date.now();
  await page.getByRole("button", { name: /^Run/ }).click();
  await page.getByRole("tab", { name: "Outputs" }).waitFor();
  await page.locator(".svelte-flow__node", { hasText: "hello" }).first().waitFor();
  console.log(`run → graph is shown: ${Date.now() - began} ms`);
  const flow = page.url().split("/").at(-1).split("?")[0];
  await page.locator(".badge", { hasText: "Completed" }).waitFor();
  await page.getByRole("tab", { name: "Timeline" }).click();
  await page.getByText(/Checked after .* its first job started after/).waitFor();
  await page.getByRole("img", { name: /^started after .*, ended after/ }).waitFor();
  await page.getByRole("tab", { name: "Outputs" }).click();
  await page.getByText("hello Ada").waitFor();
  await page.getByText("hello Bob").waitFor();
  await page.goto(d.url + "/flows?search=" + flow);
  await page.locator("tbody tr", { hasText: flow }).getByText("Completed").waitFor();
  await close(page);
});

test("composing by keyboard alone", async () => {
  const page = await signedIn(d);
  await page.goto(d.url + "/compose");
  await page.getByRole("button", { name: "New" }).click();
  await page.locator("body").press("a");
  await page.keyboard.type("greet");
  await page.keyboard.press("Enter");
  await page.locator(".svelte-flow__node", { hasText: "greet" }).waitFor();
  await page.keyboard.press("Escape");
  await page.locator(".svelte-flow__node").focus();
  await page.keyboard.press("c"); // connect: a list of what fits
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("button", { name: /new count, in/ }).focus();
  await page.keyboard.press("Enter");
  await page.locator(".cm-content", { hasText: "greet.greeting, to: count.in" }).waitFor();
  await page.locator("body").press("Control+z"); // the edge
  await page.locator(".cm-content", { hasText: "greet.greeting" }).waitFor({ state: "detached" });
  await page.locator("body").press("Control+z"); // the node
  await page.locator(".svelte-flow__node", { hasText: "count" }).waitFor({ state: "detached" });
  await page.locator("body").press("Control+Shift+z");
  await page.locator(".svelte-flow__node", { hasText: "count" }).waitFor();
  await close(page);
});

test("values are set by the type of their input", async () => {
  const page = await signedIn(d);
  await write(page, "nodes:\n  first: {progdef: head, types: {T: utf8-string}}\ninputs:\n  in: first.in\noutputs:\n  out: first.out\n");
  await page.locator(".svelte-flow__node", { hasText: "head" }).click();
  await page.getByRole("button", { name: "Set a value" }).click();
  const value = page.getByRole("textbox", { name: "Records of n" });
  await value.fill("two");
  await page.getByRole("button", { name: "Set", exact: true }).click();
  await page.getByText("Each line must be a JSON value").waitFor();
  await value.fill("2");
  await page.getByRole("button", { name: "Set", exact: true }).click();
  await page.getByText("Valid", { exact: true }).waitFor();
  await page.getByRole("textbox", { name: "in", exact: true }).fill("one\ntwo\nthree");
  await page.getByRole("button", { name: /^Run/ }).click();
  await page.locator(".badge", { hasText: "Completed" }).waitFor();
  await page.getByRole("tab", { name: "Outputs" }).click();
  assert.equal(await page.locator("pre").textContent(), "one\ntwo\n");
  await close(page);
});

test("a flow is published, used as a node, unfolded, and run again", async () => {
  const page = await signedIn(d);
  // With open types it is no valid flow, but a progdef.
  await write(page, "nodes:\n  copy: {progdef: tee}\n  hello: {progdef: greet}\nedges:\n  - {from: hello.greeting, to: copy.in}\ninputs:\n  name: hello.name\noutputs:\n  a: copy.a\n  b: copy.b\n");
  await page.getByText("Valid", { exact: true }).waitFor();
  await page.getByRole("button", { name: "Publish…" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name").fill("greet_both");
  await dialog.getByLabel("What it does").fill("Greets, twice.");
  await dialog.getByRole("button", { name: "Publish" }).click();
  await dialog.getByText("Published greet_both, revision").waitFor();
  await dialog.getByRole("button", { name: "Done" }).click();
  await write(page, "nodes:\n  g: {progdef: gret}\ninputs: {n: g.name}\n");
  await page.getByRole("button", { name: "Publish…" }).click();
  await dialog.getByLabel("Name").fill("wrong");
  await dialog.getByRole("button", { name: "Publish" }).click();
  await dialog.getByText('progdef "gret" not found').waitFor();
  await page.keyboard.press("Escape");

  await write(page, "nodes:\n  both: {progdef: greet_both, with: {name: [Ada]}}\noutputs:\n  one: both.a\n  two: both.b\n");
  await page.getByText("Valid", { exact: true }).waitFor();
  await page.getByRole("button", { name: /^Run/ }).click();
  const node = page.locator('.svelte-flow__node[data-id="both"]');
  await node.getByText("2 nodes").waitFor();
  await page.getByText("Completed", { exact: false }).first().waitFor();
  await node.click();
  await page.getByRole("heading", { name: "A subflow of 2 nodes" }).waitFor();
  await page.keyboard.press("f");
  await page.locator('.svelte-flow__node[data-id="both--hello"]').waitFor();
  assert.equal(await node.count(), 0);
  await page.locator('.svelte-flow__node[data-id="both--copy"]').click();
  await page.keyboard.press("f");
  await node.waitFor();
  await page.getByRole("button", { name: "Run again" }).click();
  await page.locator(".cm-content", { hasText: "greet_both" }).waitFor();
  assert.match(await page.locator(".cm-content").innerText(), /both\.a/);
  await page.goto(d.url + "/catalogue?progdef=greet_both");
  await page.getByRole("heading", { name: "A flow of 2 nodes" }).waitFor();
  await page.getByRole("button", { name: "Edit a copy" }).click();
  await page.locator(".cm-content", { hasText: "hello.greeting" }).waitFor();
  await close(page);
});

test("a running flow moves, is followed, and cancelled", async () => {
  const page = await signedIn(d);
  await write(page, "nodes:\n  numbers: {progdef: counter}\n  copies: {progdef: tee}\n  first: {progdef: count}\n  rest: {progdef: void_sink}\nedges:\n  - {from: numbers.number, to: copies.in}\n  - {from: copies.a, to: first.in}\n  - {from: copies.b, to: rest.in}\noutputs:\n  total: first.count\n");
  await page.getByText("Valid", { exact: true }).waitFor();
  await page.getByRole("button", { name: /^Run/ }).click();
  const flow = page.locator(".svelte-flow__node", { hasText: "numbers" }).first();
  await flow.waitFor();
  await page.locator("path.wire.flowing, path.wire.filling, path.wire.blocked").first().waitFor();
  const total = page.locator(".sums span").last();
  await page.waitForFunction((e) => /[1-9]/.test(e.textContent), await total.elementHandle());
  await flow.click();
  await page.getByRole("complementary", { name: "Node numbers" }).waitFor();
  // An edge, tapped.
  await page.getByRole("complementary").getByRole("button", { name: "number" }).click();
  await page.locator("body").press("t");
  await page.getByRole("region", { name: "Tap" }).locator("li", { hasText: /^\d+$/ }).first().waitFor();
  await page.locator("body").press("Escape");
  await page.locator("body").press("x");
  await page.getByLabel("Reason, for its status").fill("enough");
  await page.getByRole("button", { name: "Cancel flow" }).last().click();
  await page.locator(".badge", { hasText: "Cancelled" }).waitFor();
  await close(page);
});

test("a flow that fails shows its first cause, and what can be done", async () => {
  const page = await signedIn(d);
  await write(page, 'nodes:\n  check: {progdef: assert, types: {T: utf8-string}}\n  hello: {progdef: greet}\nedges:\n  - {from: check.out, to: hello.name}\ninputs:\n  in: check.in\noutputs:\n  out: hello.greeting\n');
  await page.getByText("Valid", { exact: true }).waitFor();
  await page.getByRole("textbox", { name: "in" , exact: true }).fill("error: <b>broken</b>");
  await page.getByRole("button", { name: /^Run/ }).click();
  await page.locator(".badge", { hasText: "Panicked" }).waitFor();
  await page.getByText("First cause").waitFor();
  await page.getByText("What you can do").waitFor();
  await page.getByText("<b>broken</b>").first().waitFor(); // as text
  await close(page);
});

test("what a program or user writes stays text", async () => {
  const page = await signedIn(d);
  const evil = "<img src=x onerror=alert(1)>";
  await write(page, greet);
  await page.getByText("Valid", { exact: true }).waitFor();
  await page.getByRole("textbox", { name: "names" }).fill(evil);
  page.on("dialog", () => page.wrong.push("a script ran"));
  await page.getByRole("button", { name: /^Run/ }).click();
  await page.locator(".badge", { hasText: "Completed" }).waitFor();
  await page.getByRole("tab", { name: "Outputs" }).click();
  await page.getByText("hello " + evil).waitFor();
  await close(page);
});

test("problems follow each keystroke, in a flow of 100 nodes", async () => {
  const page = await signedIn(d);
  const nodes = Array.from({ length: 100 }, (_, i) => `  n${i}: {progdef: greet}`).join("\n");
  const edges = Array.from({ length: 99 }, (_, i) => `  - {from: n${i}.greeting, to: n${i + 1}.name}`).join("\n");
  await write(page, `nodes:\n${nodes}\nedges:\n${edges}\ninputs: {in: n0.name}\noutputs: {out: n99.greeting}\n`);
  await page.getByText("Valid", { exact: true }).waitFor();
  const times = await page.evaluate(async () => {
    const content = document.querySelector(".cm-content");
    const bar = document.querySelector(".problems");
    const until = (test) => new Promise((done) => {
      if (test()) return done();
      const seen = new MutationObserver(() => test() && (seen.disconnect(), done()));
      seen.observe(bar, { childList: true, subtree: true, characterData: true });
    });
    content.focus();
    getSelection().collapse(content, content.childNodes.length);
    const out = [];
    for (let i = 0; i < 20; i++) {
      let began = performance.now();
      document.execCommand("insertText", false, "x");
      await until(() => !/Valid/.test(bar.textContent));
      out.push(performance.now() - began);
      document.execCommand("delete");
      await until(() => /Valid/.test(bar.textContent));
      await new Promise((done) => setTimeout(done, 100));
    }
    return out.sort((a, b) => a - b);
  });
  console.log(`keystroke → problems, 100 nodes: p50 ${times[10].toFixed(0)} ms, p95 ${times[18].toFixed(0)} ms`);
  await close(page);
});

test("charts: finished flows a minute, records a second of an edge and of all", async () => {
  const page = await signedIn(d);
  await write(page, greet);
  await page.getByText("Valid", { exact: true }).waitFor();
  await page.getByRole("textbox", { name: "names" }).fill("Ada");
  await page.getByRole("button", { name: /^Run/ }).click();
  await page.locator(".badge", { hasText: "Completed" }).waitFor();
  await page.clock.setSystemTime(Date.now() + 120_000); // its minute is over
  await page.goto(d.url + "/flows");
  await page.getByRole("img", { name: /^finished flows per minute in the last hour: .*(a minute|flow)/ }).locator("canvas").waitFor();
  await page.goto(d.url + "/compose");
  await write(page, "nodes:\n  numbers: {progdef: counter}\n  rest: {progdef: void_sink}\nedges:\n  - {from: numbers.number, to: rest.in}\n");
  await page.getByText("Valid", { exact: true }).waitFor();
  await page.getByRole("button", { name: /^Run/ }).click();
  await page.locator(".svelte-flow__node", { hasText: "numbers" }).first().click();
  await page.getByRole("complementary").getByRole("button", { name: "number" }).click();
  await page.getByRole("img", { name: /^records per second while this page was open: now [1-9].*at most/ }).locator("canvas").waitFor();
  if (process.env.PICTURES) await page.screenshot({ path: process.env.PICTURES + "/edge.png" });
  await page.getByRole("tab", { name: "Timeline" }).click();
  await page.getByRole("img", { name: /^records per second of all edges/ }).locator("canvas").waitFor();
  await page.getByRole("img", { name: /^bytes that wait in windows/ }).locator("canvas").waitFor();
  await page.getByRole("img", { name: /^started after/ }).first().waitFor();
  if (process.env.PICTURES) await page.screenshot({ path: process.env.PICTURES + "/timeline.png" });
  await page.locator("body").press("x");
  await page.getByRole("button", { name: "Cancel flow" }).last().click();
  await page.locator(".badge", { hasText: "Cancelled" }).waitFor();
  if (process.env.PICTURES) { await page.goto(d.url + "/flows"); await page.getByRole("img", { name: /^finished/ }).locator("canvas").waitFor(); await page.screenshot({ path: process.env.PICTURES + "/flows.png" }); }
  await close(page);
});

for (const colorScheme of ["light", "dark"]) {
  test(`every page has no violation of axe, ${colorScheme}`, async () => {
    const page = await signedIn(d, { colorScheme });
    await write(page, greet);
    await page.getByText("Valid", { exact: true }).waitFor();
    const check = async (name) => {
      // A colour on its way to another one has the contrast of neither.
      await page.evaluate(() => Promise.allSettled(document.getAnimations().filter((a) => a.effect.getComputedTiming().endTime !== Infinity).map((a) => a.finished)));
      await page.evaluate(axe);
      const found = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
      assert.deepEqual(found.violations.map((v) => `${name}: ${v.id}: ${v.nodes.map((n) => n.target.join(" ")).slice(0, 3).join("; ")}`), []);
    };
    await check("compose");
    await page.getByRole("button", { name: /^Run/ }).click();
    await page.locator(".badge", { hasText: "Completed" }).waitFor();
    for (const tab of ["Graph", "Timeline", "Events", "Logs", "Outputs", "Document"]) {
      await page.getByRole("tab", { name: tab }).click();
      await check(tab);
    }
    for (const path of ["/flows", "/catalogue?progdef=tee", "/capacity", "/webhooks", "/admin"]) {
      await page.goto(d.url + path);
      await page.locator("main :is(td, aside, .note)").first().waitFor();
      await check(path);
    }
    await page.keyboard.press("?");
    await check("shortcuts");
    await close(page);
  });
}

test("the pages fit a phone", async () => {
  const page = await signedIn(d, { viewport: { width: 360, height: 740 }, hasTouch: true });
  for (const path of ["/flows", "/compose", "/catalogue", "/capacity", "/webhooks", "/admin"]) {
    await page.goto(d.url + path);
    await page.locator("main :is(td, li, .cm-line, .note)").first().waitFor();
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= 360, `${path} is ${wide} px wide`);
  }
  await close(page);
});

// The pictures in the README and docs: `npm run browser` with PICTURES=DIR writes them.
test("pictures", { skip: !process.env.PICTURES }, async () => {
  const dir = process.env.PICTURES;
  mkdirSync(dir, { recursive: true });
  for (const colorScheme of ["light", "dark"]) {
    const page = await signedIn(d, { colorScheme, viewport: { width: 1280, height: 720 } });
    await page.goto(d.url + "/compose?sample=1");
    await page.getByText("Valid", { exact: true }).waitFor();
    await page.waitForTimeout(800);
    await page.screenshot({ path: `${dir}/console-compose-${colorScheme}.png` });
    await write(page, "nodes:\n  numbers: {progdef: counter}\n  copies: {progdef: tee}\n  pairs: {progdef: zip}\n  flat: {progdef: flatten}\n  total: {progdef: count}\n  more: {progdef: counter}\n  rest: {progdef: void_sink}\nedges:\n  - {from: numbers.number, to: copies.in}\n  - {from: copies.a, to: pairs.a}\n  - {from: more.number, to: pairs.b}\n  - {from: pairs.pair, to: flat.in}\n  - {from: flat.out, to: total.in}\n  - {from: copies.b, to: rest.in}\noutputs:\n  total: total.count\n");
    await page.getByText("Valid", { exact: true }).waitFor();
    await page.getByRole("button", { name: /^Run/ }).click();
    await page.locator(".svelte-flow__node", { hasText: "numbers" }).first().waitFor();
    await page.waitForTimeout(5000);
    await page.screenshot({ path: `${dir}/console-flow-${colorScheme}.png` });
    await page.locator("body").press("x");
    await page.getByRole("button", { name: "Cancel flow" }).last().click();
    await page.locator(".badge", { hasText: "Cancelled" }).waitFor();
    await page.context().close();
  }
});
