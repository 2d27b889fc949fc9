// The client of the gateway that serves this page. The user's token lives in this browser only: there is no cookie that other
// pages of the same host could get or use.

import { Dagyo, DagyoError, isVerdict, type FlowEvent } from "@dagyo/client";

const key = "dagyo.token";
let token = sessionStorage.getItem(key) ?? localStorage.getItem(key) ?? "";

export let dagyo = connect();

function connect(): Dagyo {
  return new Dagyo(token === "" ? {} : { token });
}

export function signedIn(): boolean {
  return token !== "";
}

/** Remembers the token in this tab, or in this browser. */
export function setToken(value: string, stay: boolean): void {
  token = value;
  sessionStorage.removeItem(key);
  localStorage.removeItem(key);
  if (value !== "") (stay ? localStorage : sessionStorage).setItem(key, value);
  dagyo = connect();
}

/** Returns the token for a code of `dagyo console`. */
export async function redeem(code: string): Promise<string> {
  const answer = await fetch("/v1/session", { method: "POST", body: JSON.stringify({ code }), headers: { "Content-Type": "application/json" } });
  const body = await answer.json();
  if (!answer.ok) throw new DagyoError(answer.status, body.detail);
  return body.token;
}

export interface PersonalToken {
  /** A credentials file, in Base64. */
  token: string;
  name: string;
  expires: string;
}

/** Makes a personal token for somebody who has signed in with a provider. */
export async function makeToken(name: string, days: number): Promise<PersonalToken> {
  const headers = { Authorization: "Bearer " + token, "Content-Type": "application/json" };
  const answer = await fetch("/v1/session/tokens", { method: "POST", body: JSON.stringify({ name, days }), headers });
  const body = await answer.json();
  if (!answer.ok) throw new DagyoError(answer.status, body.detail);
  return body;
}

/** What is wrong, in words. */
export function reasonOf(e: unknown): string {
  return e instanceof DagyoError ? e.detail : e instanceof Error ? e.message : String(e);
}

/**
 * Follows the events of a flow up to its verdict, for as long as the page is shown: a connection that is lost for longer than
 * the client tries is made again. `lost` is called with whether it is lost.
 */
export async function follow(id: string, signal: AbortSignal, take: (e: FlowEvent) => void, lost: (is: boolean) => void): Promise<void> {
  let after: number | undefined;
  while (!signal.aborted) {
    try {
      for await (const e of dagyo.follow(id, { signal, ...(after === undefined ? {} : { after }) })) {
        lost(false);
        after = e.seq;
        take(e);
        if (isVerdict(e.type)) return;
      }
      return; // its events are deleted
    } catch (e) {
      if (signal.aborted || (e instanceof DagyoError && e.status >= 400 && e.status < 500)) return;
      lost(true);
    }
  }
}
