// A Dagyo for tests: `dagyo up` with a data directory of its own, on free ports.

import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Dagyo } from "@dagyo/client";

const command = process.env.DAGYO ?? "dagyo";

export interface Running {
  client: Dagyo;
  url: string;
  token: string;
  /** The environment in which the client finds it. */
  env: NodeJS.ProcessEnv;
  /** Returns new credentials. */
  addUser(name: string, role: string): string;
  stop(): Promise<void>;
}

export async function start(): Promise<Running> {
  const home = mkdtempSync(join(tmpdir(), "dagyo-client-"));
  const env = { ...process.env, XDG_STATE_HOME: join(home, "state"), XDG_CONFIG_HOME: join(home, "config"), USER: "ada" };
  const data = join(home, "state", "dagyo");
  const args = ["up", "--port", "-1", "--http", "127.0.0.1:0", "--output", "json", "--data", data];
  const up = spawn(command, args, { env, stdio: ["ignore", "pipe", "inherit"] });
  const exited = new Promise<void>((done) => up.on("exit", () => done()));
  await new Promise<void>((done, failed) => {
    createInterface({ input: up.stdout }).once("line", () => done());
    void exited.then(() => failed(new Error("dagyo up has exited")));
  });
  process.env.XDG_STATE_HOME = env.XDG_STATE_HOME;
  const client = new Dagyo();
  const header = readFileSync(join(data, "keys", "http.header"), "utf8");
  return {
    client,
    url: client.url,
    token: header.replace("Authorization: Bearer ", "").trim(),
    env,
    addUser: (name, role) => execFileSync(command, ["user", "add", name, "--role", role, "--out", "-", "--data", data], { env, encoding: "utf8" }),
    async stop() {
      up.kill("SIGINT");
      const timer = setTimeout(() => up.kill("SIGINT"), 1000); // running flows are waited for only once
      await exited;
      clearTimeout(timer);
      rmSync(home, { recursive: true, force: true });
    },
  };
}
