import type { WebhookStatus } from "@dagyo/client";
import { expect, test } from "vitest";
import { answered, bare, documentOf, names, sent, stateOf } from "../src/lib/webhooks";

const one: WebhookStatus = { document: { name: "a", url: "https://x/" }, keys: [], at: "2026-01-01T00:00:00Z", delivered: 0, failed: 0, givenUp: 0 };
const attempt = (at: string) => ({ flow: "f", event: "flow.completed", at });

test("the state is that of the last attempt", () => {
  expect(stateOf(one).words).toBe("Nothing sent yet");
  const good = attempt("2026-01-01T00:00:02Z");
  expect(stateOf({ ...one, lastDelivery: good }).words).toBe("Delivers");
  expect(stateOf({ ...one, lastDelivery: good, lastFailure: attempt("2026-01-01T00:00:01.5Z") }).words).toBe("Delivers");
  expect(stateOf({ ...one, lastDelivery: good, lastFailure: attempt("2026-01-01T00:00:02.5Z") }).words).toBe("Failing");
  expect(stateOf({ ...one, disabled: "status 410", lastDelivery: good }).words).toBe("Switched off");
});

test("a form becomes a document", () => {
  const form = new FormData();
  for (const [name, value] of [["name", " a "], ["url", "https://x/ "], ["events", "flow.panic"], ["progdefs", "ocr, tee  ocr"], ["users", " "]] as const) form.append(name, value);
  expect(documentOf(form)).toEqual({ name: "a", url: "https://x/", events: ["flow.panic"], progdefs: ["ocr", "tee"] });
});

test("words", () => {
  expect(names("")).toEqual([]);
  expect(bare("https://x/y?token=1#z")).toBe("https://x/y");
  expect(sent({})).toEqual(["flow.completed", "flow.panic", "flow.cancelled"]);
  expect(answered({ status: 500, error: "oops" })).toBe("status 500: oops");
  expect(answered({ error: "refused" })).toBe("refused");
});
