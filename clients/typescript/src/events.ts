// Server-sent events.

import type { Verdict } from "./model.js";
import { lines } from "./records.js";

/** Yields the data of the events in a body, with their ids. */
export async function* parseEvents<T>(body: ReadableStream<Uint8Array>): AsyncGenerator<{ id: string; data: T }, void, undefined> {
  let id = "";
  let data: string[] = [];
  for await (const line of lines(body)) {
    if (line === "") {
      if (data.length > 0) yield { id, data: JSON.parse(data.join("\n")) as T };
      data = [];
    } else if (line.startsWith("id: ")) {
      id = line.slice("id: ".length);
    } else if (line.startsWith("data: ")) {
      data.push(line.slice("data: ".length));
    }
  }
}

const verdicts: readonly string[] = ["flow.completed", "flow.panic", "flow.cancelled", "flow.rejected"];

/** Reports whether an event type is that of a verdict. */
export function isVerdict(type: string | undefined): type is Verdict {
  return type !== undefined && verdicts.includes(type);
}
