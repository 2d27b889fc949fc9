// What the page of webhooks shows and sends. Pure.

import { isVerdict, type Webhook, type WebhookAttempt, type WebhookStatus } from "@dagyo/client";
import type { State } from "./model";

/** The events that a webhook can be sent, in words, and whether they are sent without a choice. */
export const events = [
  { type: "flow.completed", word: "completed", usual: true },
  { type: "flow.panic", word: "panicked", usual: true },
  { type: "flow.cancelled", word: "cancelled", usual: true },
  { type: "flow.rejected", word: "rejected", usual: false },
];

/** The state of a webhook: a glyph and words. */
export function stateOf(w: WebhookStatus): { glyph: State; words: string } {
  if (w.disabled) return { glyph: "stopped", words: "Switched off" };
  const { lastDelivery: good, lastFailure: bad } = w;
  if (bad && (!good || Date.parse(bad.at) > Date.parse(good.at))) return { glyph: "panicked", words: "Failing" };
  return good ? { glyph: "done", words: "Delivers" } : { glyph: "waiting", words: "Nothing sent yet" };
}

/** The types of the events that a webhook is sent. */
export function sent(w: Pick<Webhook, "events">): string[] {
  return w.events ?? events.filter((e) => e.usual).map((e) => e.type);
}

/** A URL without its query, which may have what not everybody behind a screen should read. */
export function bare(url: string): string {
  return url.replace(/[?#].*$/s, "");
}

/** Names that are separated by commas or spaces. */
export function names(text: string): string[] {
  return [...new Set(text.split(/[\s,]+/).filter((n) => n !== ""))];
}

/** The document of what a form has. Filters without a name are left out. */
export function documentOf(form: FormData): Webhook {
  const progdefs = names(String(form.get("progdefs") ?? ""));
  const users = names(String(form.get("users") ?? ""));
  return {
    name: String(form.get("name") ?? "").trim(),
    url: String(form.get("url") ?? "").trim(),
    events: form.getAll("events").map(String).filter(isVerdict),
    ...(progdefs.length > 0 ? { progdefs } : {}),
    ...(users.length > 0 ? { users } : {}),
  };
}

/** How a receiver answered, in words. */
export function answered(a: Pick<WebhookAttempt, "status" | "error">): string {
  return [a.status ? `status ${a.status}` : "", a.error ?? ""].filter((s) => s !== "").join(": ");
}
