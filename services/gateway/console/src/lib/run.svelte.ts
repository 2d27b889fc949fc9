// What this page feeds to flows and reads from them. It goes on while other pages are shown.

import type { Source } from "@dagyo/client";
import { dagyo, reasonOf } from "./api";
import { show } from "./records";

/** How much of an output is kept to be shown. All of it is read. */
const mostText = 200_000;
const mostPictures = 24;

export class Feed {
  done = $state(false);
  wrong = $state("");

  constructor(
    flow: string,
    readonly input: string,
    type: string,
    source: Source,
  ) {
    dagyo.feed(flow, input, source, { type }).then(
      () => (this.done = true),
      (e) => (this.wrong = reasonOf(e)),
    );
  }
}

export class Reader {
  records = $state(0);
  text = $state("");
  pictures = $state.raw<string[]>([]);
  cut = $state(false);
  done = $state(false);
  wrong = $state("");

  constructor(
    private readonly flow: string,
    private readonly output: string,
    private readonly type: string,
  ) {
    void this.read();
  }

  private async read(): Promise<void> {
    // Records come by the million: the page takes them a few times a second.
    let records = 0;
    let text = "";
    const flush = (): void => {
      this.records = records;
      this.text += text;
      text = "";
    };
    const timer = setInterval(flush, 250);
    try {
      for await (const record of dagyo.read(this.flow, this.output, { type: this.type })) {
        records++;
        if (this.text.length + text.length >= mostText) this.cut = true;
        else text += this.add(record).slice(0, mostText);
      }
      this.done = true;
    } catch (e) {
      this.wrong = reasonOf(e);
    } finally {
      clearInterval(timer);
      flush();
    }
  }

  /** Returns the text of a record; a picture is kept beside it. */
  private add(record: unknown): string {
    const r = show(record);
    if (r.kind !== "picture") return (r.kind === "error" ? "error: " : "") + r.text + "\n";
    if (this.pictures.length < mostPictures) this.pictures = [...this.pictures, r.text];
    else {
      URL.revokeObjectURL(r.text);
      this.cut = true;
    }
    return "";
  }
}

/** By flow. */
export const feeds = $state<Record<string, Feed[]>>({});
export const readers = $state<Record<string, Record<string, Reader>>>({});

export function feed(flow: string, input: string, type: string, source: Source): void {
  feeds[flow] = [...(feeds[flow] ?? []), new Feed(flow, input, type, source)];
}

export function read(flow: string, output: string, type: string): void {
  readers[flow] ??= {};
  readers[flow][output] ??= new Reader(flow, output, type);
}
