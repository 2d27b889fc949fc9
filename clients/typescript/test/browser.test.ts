// The built package in a browser, without a bundler.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { after, before, test } from "node:test";
import { chromium, type Browser } from "playwright-core";
import { root } from "./compile.js";
import { start, type Running } from "./dagyo.js";
import { assertion, copy, greet, numbers } from "./flows.js";

let running: Running;
let browser: Browser;
before(async () => {
  running = await start();
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
});
after(async () => {
  await browser?.close();
  await running.stop();
});

test("runs flows in a browser", async () => {
  const page = await browser.newPage();
  // The page is one of the gateway's origin, as the gateway allows no others.
  await page.route(running.url + "/client/*", (route) => {
    const name = basename(new URL(route.request().url()).pathname);
    if (name === "page.html") return route.fulfill({ contentType: "text/html", body: "<!doctype html>" });
    return route.fulfill({ contentType: "text/javascript", body: readFileSync(join(root, "dist", name), "utf8") });
  });
  await page.goto(running.url + "/client/page.html");
  const given = { token: running.token, greet, octets: copy("octets"), numbers, assertion };
  const got = await page.evaluate(async ({ token, greet, octets, numbers, assertion }) => {
    const path = "/client/index.js";
    const { Dagyo, DagyoError, FlowError }: typeof import("@dagyo/client") = await import(path);
    const dagyo = new Dagyo({ token });
    async function* names() {
      yield "Ada";
      yield "B\nob";
    }
    const { outputs } = await dagyo.run(greet, { inputs: { names: names() } });
    const copies = await dagyo.run(octets, { inputs: { in: [Uint8Array.of(0, 255)] } });
    const large = new Uint8Array(5 << 20).fill(7);
    const largeCopies = await dagyo.run(octets, { inputs: { in: new Blob([large]) } });
    const failed: unknown = await dagyo.run(assertion, { inputs: { in: [{ error: "broken" }] } }).catch((e) => e);
    const refused: unknown = await new Dagyo({ token: "wrong" }).session().catch((e) => e);
    const control = new AbortController();
    const aborted: unknown = await dagyo
      .run(numbers, {
        signal: control.signal,
        outputs: {
          number: async (all) => {
            for await (const n of all) if (n === 5) control.abort();
          },
        },
      })
      .catch((e) => e);
    return {
      greetings: outputs.greetings,
      copies: copies.outputs.a.map((r) => [...(r as Uint8Array)]),
      large: largeCopies.outputs.b.map((r) => (r as Uint8Array).length),
      failed: failed instanceof FlowError && failed.verdict,
      refused: refused instanceof DagyoError && refused.status,
      aborted: aborted instanceof DOMException && aborted.name,
    };
  }, given);
  assert.deepEqual(got, {
    greetings: ["hello Ada", "hello B\nob"],
    copies: [[0, 255]],
    large: [5 << 20],
    failed: "flow.panic",
    refused: 401,
    aborted: "AbortError",
  });
});
