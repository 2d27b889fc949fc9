import { expect, test } from "vitest";
import { address, challenge, codeOf, type Visit } from "../src/lib/provider";

const visit: Visit = { state: "s", nonce: "n", verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", stay: false, page: "/flows" };

test("the challenge is that of RFC 7636", async () => {
  expect(await challenge(visit.verifier)).toBe("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
});

test("the provider gets neither the verifier nor more than it must", () => {
  const p = { label: "Acme", endpoint: "https://id.example.com/auth?realm=a", client: "c&d", scopes: ["openid", "profile"], redirect: "https://dagyo.example.com/sign-in" };
  const to = new URL(address(p, visit, "challenge"));
  expect(Object.fromEntries(to.searchParams)).toEqual({
    realm: "a", response_type: "code", client_id: "c&d", redirect_uri: p.redirect, scope: "openid profile", state: "s", nonce: "n",
    code_challenge: "challenge", code_challenge_method: "S256",
  });
});

test("an answer counts in the tab that has asked for it", () => {
  const query = (text: string) => new URLSearchParams(text);
  expect(codeOf(query("code=c&state=s"), visit)).toBe("c");
  for (const text of ["code=c&state=t", "code=c", "code=c&state="]) expect(() => codeOf(query(text), visit)).toThrow("not for this tab");
  expect(() => codeOf(query("code=c&state=s"), null)).toThrow("not for this tab");
  expect(() => codeOf(query("error=access_denied&error_description=No&state=s"), visit)).toThrow("did not sign you in: No");
  expect(() => codeOf(query("state=s"), visit)).toThrow("no code");
});
