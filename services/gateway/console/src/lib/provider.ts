// Signing in with a provider of OpenID Connect: the browser's half of the authorization code flow, with PKCE. The gateway does
// the other half, so nothing is fetched from the provider here.

import { DagyoError } from "@dagyo/client";

export interface Provider {
  label: string;
  endpoint: string;
  client: string;
  scopes: string[];
  redirect: string;
}

/** What this tab keeps while it is at the provider. */
export interface Visit {
  state: string;
  nonce: string;
  verifier: string;
  /** Whether to stay signed in when the tab is closed. */
  stay: boolean;
  /** The page to show then. */
  page: string;
}

export const visitKey = "dagyo.sign-in";

/** Returns with whom persons sign in here, null if with nobody. */
export async function provider(): Promise<Provider | null> {
  const answer = await fetch("/v1/session/oidc");
  if (answer.status === 204) return null;
  return read<Provider>(answer);
}

async function read<T>(answer: Response): Promise<T> {
  let body: { detail?: string } = {};
  try {
    body = await answer.json();
  } catch {
    // Something in front of the gateway has answered.
  }
  if (!answer.ok) throw new DagyoError(answer.status, body.detail ?? `the gateway answers with status ${answer.status}`);
  return body as T;
}

/** Goes to the provider. */
export async function leave(p: Provider, stay: boolean, page: string): Promise<void> {
  const redirect = new URL(p.redirect);
  if (redirect.origin !== location.origin) {
    location.assign(redirect.origin); // the provider sends browsers there: this tab would not be known
    return;
  }
  if (!crypto.subtle) throw new Error("Browsers allow signing in over HTTPS only: open this page with https://.");
  const visit: Visit = { state: random(), nonce: random(), verifier: random(), stay, page };
  sessionStorage.setItem(visitKey, JSON.stringify(visit));
  location.assign(address(p, visit, await challenge(visit.verifier)));
}

/** The address at the provider with which a visit begins. */
export function address(p: Provider, v: Visit, challenge: string): string {
  const to = new URL(p.endpoint);
  const parameters = {
    response_type: "code", client_id: p.client, redirect_uri: p.redirect, scope: p.scopes.join(" "),
    state: v.state, nonce: v.nonce, code_challenge: challenge, code_challenge_method: "S256",
  };
  for (const [name, value] of Object.entries(parameters)) to.searchParams.set(name, value);
  return to.href;
}

function random(): string {
  return base64url(crypto.getRandomValues(new Uint8Array(32)));
}

export async function challenge(verifier: string): Promise<string> {
  return base64url(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier))));
}

function base64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** Checks what the provider sent the browser back with, and returns its code. The visit is that of this tab, null if there is none. */
export function codeOf(query: URLSearchParams, visit: Visit | null): string {
  if (visit === null || query.get("state") !== visit.state) {
    throw new Error("This answer of the provider is not for this tab, or was used before. Sign in again.");
  }
  const error = query.get("error");
  if (error !== null) throw new Error(`The provider did not sign you in: ${query.get("error_description") || error}`);
  const code = query.get("code");
  if (code === null || code === "") throw new Error("The provider sent no code. Sign in again.");
  return code;
}

/** Returns the token of a session for what the provider sent the browser back with, once. */
export async function comeBack(query: URLSearchParams): Promise<{ token: string; visit: Visit }> {
  const kept = sessionStorage.getItem(visitKey);
  sessionStorage.removeItem(visitKey);
  const visit = kept === null ? null : (JSON.parse(kept) as Visit);
  const code = codeOf(query, visit);
  const { verifier, nonce } = visit!;
  const answer = await fetch("/v1/session/oidc", {
    method: "POST", body: JSON.stringify({ code, verifier, nonce }), headers: { "Content-Type": "application/json" },
  });
  return { token: (await read<{ token: string }>(answer)).token, visit: visit! };
}
