// What every page shows: who is signed in, whether the gateway answers, and how busy Dagyo is.

import { DagyoError, type Session } from "@dagyo/client";
import { dagyo, reasonOf, setToken, signedIn } from "./api";
import { poll } from "./poll";
import { stateOf } from "./model";

export const live = $state({
  session: null as Session | null,
  /** Why nobody is signed in, for the sign-in page. */
  refused: "",
  /** Since when the gateway does not answer, 0 if it does. */
  lostSince: 0,
  running: 0,
  queued: 0,
  more: false,
  used: 0,
});

/** Why the user may not run, feed or cancel flows, "" if nothing is known to forbid it. The broker decides. */
export function mayNotRun(): string {
  const role = live.session?.role ?? "";
  return role === "viewer" ? `Your role, ${role}, may not run flows. An operator can give you another one.` : "";
}

/** Why the user may not publish, "" if nothing is known to forbid it. */
export function mayNotPublish(): string {
  const role = live.session?.role ?? "";
  return role === "viewer" || role === "user" ? `Your role, ${role}, may not publish. An operator can give you another one.` : "";
}

/** Notes how a request has failed, and returns why. Without a token that is accepted, the sign-in page is shown. */
export function note(e: unknown): string {
  if (e instanceof DagyoError) {
    if (e.status === 401) signOut(e.detail);
    else if (e.status === 0 || e.status === 503) live.lostSince ||= Date.now();
    else live.lostSince = 0;
  }
  return reasonOf(e);
}

export function signOut(why = ""): void {
  setToken("", false);
  live.session = null;
  live.refused = why;
}

export async function signIn(token: string, stay: boolean): Promise<void> {
  setToken(token, stay);
  try {
    live.session = await dagyo.session();
    live.refused = "";
    live.lostSince = 0;
  } catch (e) {
    setToken("", false);
    throw e;
  }
}

/** Signs in with what this browser remembers. */
export async function resume(): Promise<void> {
  if (!signedIn()) return;
  try {
    live.session = await dagyo.session();
  } catch (e) {
    live.refused = note(e) + (signedIn() ? ". Reload the page to try again." : "");
  }
}

/** Keeps the counts up to date until the returned function is called. */
export function watchCounts(): () => void {
  return poll(3000, async (signal) => {
    try {
      const [page, executors] = await Promise.all([dagyo.page({ live: true, pageSize: 500, signal }), dagyo.executors({ signal })]);
      const states = page.flows.map(stateOf);
      live.queued = states.filter((s) => s === "queued").length;
      live.running = states.length - live.queued;
      live.more = page.next !== undefined;
      live.used = executors.reduce((n, c) => n + c.running, 0);
      live.lostSince = 0;
    } catch (e) {
      if (!signal.aborted) note(e);
    }
  });
}
