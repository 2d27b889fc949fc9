// A Dagyo for a test: `dagyo up` with a data directory of its own, on free ports, and a browser.

import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const dagyo = process.env.DAGYO ?? "dagyo";

export async function start() {
  const home = mkdtempSync(join(tmpdir(), "dagyo-console-"));
  const env = { ...process.env, XDG_STATE_HOME: join(home, "state"), XDG_CONFIG_HOME: join(home, "config"), USER: "ada" };
  const up = spawn(dagyo, ["up", "--port", "-1", "--http", "127.0.0.1:0", "--output", "json", "--data", join(home, "data")], { env, stdio: ["ignore", "pipe", "inherit"] });
  const exited = new Promise((done) => up.on("exit", done));
  const lines = createInterface({ input: up.stdout });
  const about = await new Promise((done, failed) => {
    lines.once("line", (l) => done(JSON.parse(l)));
    exited.then((code) => failed(new Error(`dagyo up exited with code ${code}`)));
  });
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
  return {
    url: about.http,
    browser,
    run: (...args) => execFileSync(dagyo, [...args, "--data", join(home, "data")], { env, encoding: "utf8" }),
    /** The address with which a browser signs in. */
    link: () => execFileSync(dagyo, ["--context", about.context, "console", "--no-browser"], { env, encoding: "utf8" }).trim(),
    async stop() {
      await browser.close();
      up.kill("SIGINT");
      const timer = setTimeout(() => up.kill("SIGINT"), 1000); // running flows are waited for only once
      await exited;
      clearTimeout(timer);
      rmSync(home, { recursive: true, force: true });
    },
  };
}

/** A page of a new browser context, which fails the test on errors of the page, and on requests to anything but Dagyo. */
export async function open(d, options = {}) {
  const context = await d.browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
  const page = await context.newPage();
  page.wrong = [];
  page.on("pageerror", (e) => page.wrong.push(String(e)));
  page.on("console", (m) => {
    if (m.type() === "error" && !/status of 40[134]|status of 422/.test(m.text())) page.wrong.push(m.text());
  });
  page.on("request", (r) => {
    if (!r.url().startsWith(d.url) && !r.url().startsWith("blob:") && !r.url().startsWith("data:")) page.wrong.push("request to " + r.url());
  });
  return page;
}

export async function signedIn(d, options = {}) {
  const page = await open(d, options);
  await page.goto(d.link());
  await page.getByRole("heading", { name: "Flows" }).waitFor();
  return page;
}
