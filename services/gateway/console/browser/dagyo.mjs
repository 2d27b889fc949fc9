// A Dagyo for a test: `dagyo up` with a data directory of its own, on free ports, and a browser.

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
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
    context: about.context,
    env,
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

/** A port that is free. */
async function freePort() {
  const s = createServer().listen(0, "127.0.0.1");
  await once(s, "listening");
  const { port } = s.address();
  s.close();
  await once(s, "close");
  return port;
}

/** Starts a program, and returns it once a line of an output matches, with what that has. */
async function begin(command, args, output, pattern, env = process.env) {
  const child = spawn(command, args, { env, stdio: ["ignore", "pipe", "pipe"] });
  const exited = once(child, "exit");
  const found = (async () => {
    for await (const line of createInterface({ input: child[output] })) {
      const match = pattern.exec(line);
      if (match) return match[0];
    }
    throw new Error(`${command} ends without ${pattern}`);
  })();
  return { line: await found, stop: () => (child.kill("SIGINT"), exited) };
}

/** A gateway beside that of `dagyo up`, with which persons sign in at a provider (tests/provider). */
export async function provided(d) {
  const dir = mkdtempSync(join(tmpdir(), "dagyo-sign-in-"));
  const url = `http://127.0.0.1:${await freePort()}`;
  const provider = await begin(process.env.PROVIDER ?? "provider", [url + "/sign-in"], "stdout", /^http.*/);
  d.run("keys", "sign-in", "--role", "viewer,user", "--out", join(dir, "keys.json"));
  writeFileSync(join(dir, "secret"), "a secret of the client\n");
  writeFileSync(join(dir, "sign-in.yaml"), `issuer: ${provider.line}
client: dagyo
secretFile: secret
label: Acme
url: ${url}
userinfo: true
name: preferred_username
session: 5m
rules:
  - {claim: groups, value: data-team, role: user}
  - {claim: groups, value: staff, role: viewer}
`);
  const args = ["gateway", "--http", url.slice("http://".length), "--sign-in", join(dir, "sign-in.yaml"), "--sign-in-keys", join(dir, "keys.json")];
  const gateway = await begin(dagyo, ["--context", d.context, ...args], "stderr", /serving HTTP/, d.env);
  return {
    browser: d.browser,
    url,
    also: provider.line,
    async stop() {
      await Promise.all([gateway.stop(), provider.stop()]);
      rmSync(dir, { recursive: true, force: true });
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
    if (!r.url().startsWith(d.url) && !(d.also && r.url().startsWith(d.also)) && !r.url().startsWith("blob:") && !r.url().startsWith("data:")) page.wrong.push("request to " + r.url());
  });
  return page;
}

export async function signedIn(d, options = {}) {
  const page = await open(d, options);
  await page.goto(d.link());
  await page.getByRole("heading", { name: "Flows" }).waitFor();
  return page;
}
