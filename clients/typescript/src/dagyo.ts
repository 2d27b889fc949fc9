import { DagyoError, FlowError } from "./errors.js";
import { isVerdict, parseEvents } from "./events.js";
import type { Ends, TypedFlow } from "./flow.js";
import type {
  Capacity, Command, Compatible, CompatibleQuery, FlowDocument, FlowEvent, FlowLine, FlowStatus, LogLine, Problem, Progdef,
  Published, Sample, Session, TypeDocument, TypeLine, Usage, Validation, Verdict, Webhook,
  WebhookApplied, WebhookRotated, WebhookStatus, WebhookTested,
} from "./model.js";
import { fromLine, lines, recordFormat, toBase64, toBody, type Body, type Format, type RecordOf, type Source } from "./records.js";

/** Sends a request, as the global `fetch` does. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** Which gateway to use, and as whom. */
export interface Options {
  /**
   * The address of the gateway, such as `https://dagyo.example`. Default: in Node, that of `DAGYO_HTTP_URL` with the token in
   * `DAGYO_HTTP_TOKEN`, or else that of the running `dagyo up` of this user, with its token; in a browser, that of the page.
   */
  url?: string | undefined;
  /** The bearer token. */
  token?: string | undefined;
  /** The content of a credentials file of `dagyo user add`, instead of a token. */
  credentials?: string | Uint8Array | undefined;
  /** Sends the requests. Default: the global `fetch`; in Node, one without limits of time. */
  fetch?: Fetch | undefined;
  /**
   * Whether bodies of requests can be streams. If not, inputs are collected before they are sent. Default: everywhere but in
   * browsers, whose `fetch` streams only over HTTP/2.
   */
  streaming?: boolean | undefined;
}

export interface Abortable {
  /** Ends the call. */
  signal?: AbortSignal | undefined;
}

/** Sinks of outputs, by name. */
export type Sinks<O extends Ends> = { [K in keyof O]?: Sink<RecordOf<O[K]>> };

/** Where the records of an output go: its result is the output's result. A slow one slows the flow down. */
export type Sink<R> = (records: AsyncIterable<R>) => Promise<unknown>;

export interface RunOptions<I extends Ends, O extends Ends, S> extends Abortable {
  /** The flow's id. Default: a new one. */
  id?: string;
  /** The records of all inputs. */
  inputs?: { [K in keyof I]: Source<RecordOf<I[K]>> };
  /** Where the records of outputs go. Default: into arrays. */
  outputs?: S & Sinks<O>;
}

/** The result of a completed flow. */
export interface RunResult<O extends Ends, S> {
  /** The flow's id. */
  flow: string;
  verdict: "flow.completed";
  /** By output: its records, or the result of its sink. */
  outputs: { [K in keyof O]: K extends keyof S ? (S[K] extends (records: any) => Promise<infer X> ? X : RecordOf<O[K]>[]) : RecordOf<O[K]>[] };
}

export interface ListOptions extends Abortable {
  /** Event types of phases and verdicts, such as `flow.completed`, or their last words. */
  state?: string[];
  /** Only flows without a verdict. */
  live?: boolean;
  /** Text in the id, the name of a progdef, a reason or a message. */
  search?: string;
  /** Flows with a job of this progdef. */
  progdef?: string;
  /** Flows that this user submitted. */
  user?: string;
  /** Submitted at or after this time. */
  since?: Date;
  /** Submitted before this time. */
  until?: Date;
  /** The number of flows in a page. */
  pageSize?: number;
}

/** A page of flows. */
export interface FlowPage {
  flows: FlowLine[];
  /** Continues the list; absent at its end. */
  next?: string;
  /** What could not be read: flows are missing. */
  problems?: string[];
}

export interface Submitted {
  flow: string;
  /** `submitted` if no service has validated it yet. */
  state: "submitted" | "validated";
  /** The inputs to feed. */
  inputs?: string[];
  /** The outputs to read. */
  outputs?: string[];
}

interface Call extends Abortable {
  query?: Record<string, string | number | boolean | undefined>;
  body?: Body;
  headers?: Record<string, string>;
  /** The request must not be sent again. */
  once?: boolean;
}

/** The pauses before a request is sent again to a gateway that is busy, and before events are followed again, in ms. */
const retryPauses = [250, 500, 1000, 2000];
const reconnectPauses = [100, 250, 500, 1000, 2000, 4000, 8000, 8000];

/** A connection for events that has lasted for longer, in ms, has not failed. */
const goodConnection = 10_000;

/** Bounds the cancel of a flow whose run has failed, in ms. */
const cancelTime = 5000;

/** A client of a gateway. All its methods may be called concurrently. */
export class Dagyo {
  readonly url: string;
  readonly #headers: Record<string, string>;
  readonly #fetch: Fetch;
  readonly #streaming: boolean;

  constructor(options: Options = {}) {
    const url = options.url ?? (globalThis as { location?: Location }).location?.origin;
    if (url === undefined) throw new TypeError("give the url of a gateway");
    this.url = url.replace(/\/+$/, "");
    const token = options.token ?? (options.credentials === undefined ? undefined : toToken(options.credentials));
    this.#headers = token === undefined ? {} : { Authorization: "Bearer " + token };
    this.#fetch = options.fetch ?? ((url, init) => fetch(url, init));
    this.#streaming = options.streaming ?? !("window" in globalThis || "importScripts" in globalThis);
  }

  /**
   * Runs a flow: submits it, feeds its inputs, reads its outputs, and returns when it has completed. It throws a DagyoError with
   * problems if the document is invalid, and a FlowError if the flow fails. The flow is cancelled if the call fails otherwise, or
   * is aborted.
   */
  async run<I extends Ends, O extends Ends, S = {}>(
    flow: TypedFlow<I, O>,
    options: RunOptions<I, O, S> = {},
  ): Promise<RunResult<O, S>> {
    const inputs = (options.inputs ?? {}) as Record<string, Source>;
    checkInputs(flow, inputs);
    options.signal?.throwIfAborted();
    const id = options.id ?? newID();
    const running = new Running(this, id, inputs, (options.outputs ?? {}) as Record<string, Sink<any>>);
    const abort = () => running.stop.abort(options.signal?.reason);
    options.signal?.addEventListener("abort", abort, { once: true });
    try {
      const outputs = await running.run(flow);
      return { flow: id, verdict: "flow.completed", outputs: outputs as RunResult<O, S>["outputs"] };
    } finally {
      running.stop.abort();
      options.signal?.removeEventListener("abort", abort);
    }
  }

  /** Reports the problems of a flow document, or its normal form with all types. */
  async validate(flow: FlowDocument, options: Abortable = {}): Promise<Validation> {
    return this.#json("POST", "/validate", { ...options, body: JSON.stringify(flow) });
  }

  /**
   * Submits a flow, and returns when it is valid; it throws a DagyoError with problems if it is not. The same document under the
   * same id is submitted once, so that a call that has failed can be repeated.
   */
  async submit(flow: FlowDocument, options: Abortable & { id?: string } = {}): Promise<Submitted> {
    const query = { id: options.id ?? newID() };
    return this.#json("POST", "/flows", { ...options, query, body: JSON.stringify(flow), headers: { Prefer: "wait" } });
  }

  /**
   * Feeds an input of a flow, and returns when the flow has taken all of it. Records are taken from the source as fast as the
   * flow takes them. The end of the source is the end of the input.
   */
  async feed(
    id: string,
    input: string,
    source: Source,
    options: Abortable & { /** The typename, if it is known. */ type?: string; /** How bytes are records. */ format?: Format } = {},
  ): Promise<{ records: number; bytes: number }> {
    const path = `/flows/${part(id)}/inputs/${part(input)}`;
    const type = options.type ?? (await this.#typename(id, "inputs", input, options.signal));
    let failure: { error: unknown } | undefined;
    const { body, format } = toBody(type, source, (error) => (failure ??= { error }));
    try {
      const query = { format: options.format ?? format };
      return await this.#json("PUT", path, { ...options, query, body, once: true });
    } catch (e) {
      if (failure) throw failure.error;
      throw await this.#explain(id, e, options.signal);
    }
  }

  /**
   * Yields the records of an output, as fast as they are taken. If the flow fails, a FlowError follows the records before that.
   * A reader that stops early ends the flow.
   */
  async *read<T extends string = string>(
    id: string,
    output: string,
    options: Abortable & { /** The typename, if it is known. */ type?: T } = {},
  ): AsyncGenerator<RecordOf<T>, void, undefined> {
    const type = options.type ?? (await this.#typename(id, "outputs", output, options.signal));
    for await (const line of this.#lines(id, output, recordFormat(type), options.signal)) {
      yield fromLine(type, line) as RecordOf<T>;
    }
  }

  /** Returns an output as bytes: lines of text, or the bytes of all records one after the other. */
  async readBytes(id: string, output: string, options: Abortable & { format?: Format } = {}): Promise<ReadableStream<Uint8Array>> {
    const answer = await this.#output(id, output, options.format, options.signal);
    return answer.body ?? new Blob([]).stream();
  }

  /**
   * Yields the events of a flow, from the first one that is stored or the one behind `after`, up to the verdict, or until the flow
   * is cleaned up. A lost connection is made again.
   */
  async *follow(
    id: string,
    options: Abortable & { after?: number; until?: "verdict" | "cleaned" } = {},
  ): AsyncGenerator<FlowEvent, void, undefined> {
    const { signal, until = "verdict" } = options;
    let last = options.after === undefined ? "" : String(options.after);
    for (let failures = 0; ; failures++) {
      let failure: unknown;
      const begun = Date.now();
      try {
        const headers: Record<string, string> = last === "" ? {} : { "Last-Event-ID": last };
        const answer = await this.#send("GET", `/flows/${part(id)}/events`, { signal, headers, query: { until } });
        if (answer.status === 204 || answer.body === null) return;
        for await (const { id: seq, data: event } of parseEvents<FlowEvent>(answer.body)) {
          last = seq;
          failures = 0;
          yield event;
          if (event.type === "flow.cleaned" || (until === "verdict" && isVerdict(event.type))) return;
        }
      } catch (e) {
        signal?.throwIfAborted();
        if (e instanceof DagyoError && e.status >= 400 && e.status < 500) throw e;
        failure = e;
      }
      if (Date.now() - begun > goodConnection) failures = 0;
      const pause = reconnectPauses[failures];
      if (pause === undefined) throw lost(`the events of flow ${id}`, failure);
      await sleep(pause, signal);
    }
  }

  /** Returns the status of a flow when it has completed. It throws a FlowError if it fails. */
  async wait(id: string, options: Abortable = {}): Promise<FlowStatus> {
    let verdict: string | undefined;
    for await (const event of this.follow(id, options)) verdict = event.type;
    const status = await this.show(id, options);
    verdict = isVerdict(verdict) ? verdict : status.verdict; // its events may be deleted
    if (!isVerdict(verdict)) throw new DagyoError(0, `flow ${id} has no verdict, and its events have ended: its phase is ${status.phase}`);
    if (verdict !== "flow.completed") throw new FlowError(status, verdict);
    return status;
  }

  /** Returns the status of a flow. */
  async show(id: string, options: Abortable = {}): Promise<FlowStatus> {
    return this.#json("GET", `/flows/${part(id)}`, options);
  }

  /** Yields flows, the latest first. */
  async *list(options: ListOptions = {}): AsyncGenerator<FlowLine, void, undefined> {
    let page: FlowPage = await this.page(options);
    yield* page.flows;
    while (page.next) {
      page = await this.page({ ...options, after: page.next });
      yield* page.flows;
    }
  }

  /** Returns a page of flows, the latest first. `after` is the `next` of the page before. */
  async page(options: ListOptions & { after?: string } = {}): Promise<FlowPage> {
    const { signal, state, since, until, pageSize, ...filters } = options;
    const query = { ...filters, state: state?.join(","), since: since?.toISOString(), until: until?.toISOString(), limit: pageSize };
    return this.#json("GET", "/flows", { signal, query });
  }

  /** Yields what the jobs of a flow, or one of them, have logged; with `follow` new lines too, until the flow has ended. */
  async *logs(id: string, options: Abortable & { node?: string; follow?: boolean } = {}): AsyncGenerator<LogLine, void, undefined> {
    const { signal, node, follow } = options;
    const answer = await this.#send("GET", `/flows/${part(id)}/logs`, { signal, query: { node, follow } });
    for await (const line of lines(answer.body ?? new Blob([]).stream())) {
      if (line !== "") yield JSON.parse(line) as LogLine; // an empty one keeps the connection open
    }
  }

  /** Yields a sample each second of what passes on an edge, named by its writer: `node.port` or `inputs.name`. It ends with the flow. */
  async *tap(id: string, edge: string, options: Abortable = {}): AsyncGenerator<Sample, void, undefined> {
    const answer = await this.#send("GET", `/flows/${part(id)}/tap`, { signal: options.signal, query: { edge } });
    for await (const { data } of parseEvents<Sample>(answer.body ?? new Blob([]).stream())) yield data;
  }

  /** Cancels a flow. One that has ended is not changed. `operator` cancels the flow of another user. */
  async cancel(id: string, options: Abortable & { reason?: string; operator?: boolean } = {}): Promise<void> {
    const { signal, reason, operator } = options;
    await this.#done("POST", `/flows/${part(id)}/cancel`, { signal, query: { reason, operator } });
  }

  /** Returns the catalogue. */
  async progdefs(options: Abortable = {}): Promise<Published[]> {
    return this.#json("GET", "/progdefs", options);
  }

  /** Returns a progdef of the catalogue. */
  async progdef(name: string, options: Abortable = {}): Promise<Published> {
    return this.#json("GET", `/progdefs/${part(name)}`, options);
  }

  /** Adds a progdef to the catalogue, or replaces it. */
  async publishProgdef(progdef: Progdef, options: Abortable = {}): Promise<{ revision: string; [field: string]: unknown }> {
    return this.#json("PUT", `/progdefs/${part(progdef.name)}`, { ...options, body: JSON.stringify(progdef) });
  }

  /** Removes a progdef from the catalogue. */
  async removeProgdef(name: string, options: Abortable = {}): Promise<void> {
    await this.#done("DELETE", `/progdefs/${part(name)}`, options);
  }

  /** Returns the executors and slots of a progdef, or of all. */
  async executors(options: Abortable & { progdef?: string } = {}): Promise<Capacity[]> {
    const { signal, progdef } = options;
    return this.#json("GET", progdef === undefined ? "/executors" : `/progdefs/${part(progdef)}/executors`, { signal });
  }

  /** Returns what the tenant and its users hold, and their limits. */
  async usage(options: Abortable = {}): Promise<Usage> {
    return this.#json("GET", "/usage", options);
  }

  /** Returns the documented types. */
  async types(options: Abortable = {}): Promise<TypeLine[]> {
    return this.#json("GET", "/types", options);
  }

  /** Returns the documentation of a type. */
  async type(name: string, options: Abortable = {}): Promise<TypeDocument> {
    return this.#json("GET", `/types/${part(name)}`, options);
  }

  /** Returns the webhooks of the tenant, and what became of their deliveries. */
  async webhooks(options: Abortable = {}): Promise<WebhookStatus[]> {
    return this.#json("GET", "/webhooks", options);
  }

  /** Returns a webhook, and how many events are still to be delivered. */
  async webhook(name: string, options: Abortable = {}): Promise<WebhookStatus> {
    return this.#json("GET", `/webhooks/${part(name)}`, options);
  }

  /** Adds a webhook, or replaces the one with its name. */
  async applyWebhook(webhook: Webhook, options: Abortable = {}): Promise<WebhookApplied> {
    return this.#json("PUT", `/webhooks/${part(webhook.name)}`, { ...options, body: JSON.stringify(webhook) });
  }

  /** Sends a test to the receiver of a webhook, and returns how it answered. One that is not delivered is no error. */
  async testWebhook(name: string, options: Abortable = {}): Promise<WebhookTested> {
    return this.#json("POST", `/webhooks/${part(name)}/test`, options);
  }

  /** Gives a webhook a new key. */
  async rotateWebhook(name: string, options: Abortable = {}): Promise<WebhookRotated> {
    return this.#json("POST", `/webhooks/${part(name)}/rotate`, options);
  }

  /** Removes a webhook. Pending deliveries are dropped. */
  async removeWebhook(name: string, options: Abortable = {}): Promise<void> {
    await this.#done("DELETE", `/webhooks/${part(name)}`, options);
  }

  /** Returns the ports that a port can be connected to. */
  async compatible(query: CompatibleQuery, options: Abortable = {}): Promise<Compatible> {
    return this.#json("POST", "/compatible", { ...options, body: JSON.stringify(query) });
  }

  /** Publishes commands as events, and returns their numbers in EVENTS. Each is stored once for its id. */
  async publish(commands: Command[], options: Abortable = {}): Promise<{ id: string; seq: number }[]> {
    const events = commands.map((c) => ({ specversion: "1.0", id: newID(), source: "/clients/typescript", datacontenttype: "application/json", ...c }));
    const headers = { "Content-Type": "application/cloudevents-batch+json" };
    return this.#json("POST", "/events", { ...options, headers, body: JSON.stringify(events) });
  }

  /** Returns whom the credentials are for. */
  async session(options: Abortable = {}): Promise<Session> {
    return this.#json("GET", "/session", options);
  }

  /** Returns the typename of an input or an output, when the flow is planned. The gateway reports an unknown one. */
  async #typename(id: string, side: "inputs" | "outputs", name: string, signal: AbortSignal | undefined): Promise<string> {
    let status = await this.show(id, { signal });
    if (status.stream === undefined && status.verdict === undefined) {
      for await (const event of this.follow(id, { signal })) if (event.type === "flow.planned") break;
      status = await this.show(id, { signal });
    }
    return status[side]?.[name]?.type ?? "octets";
  }

  #output(id: string, output: string, format: Format | undefined, signal: AbortSignal | undefined): Promise<Response> {
    return this.#send("GET", `/flows/${part(id)}/outputs/${part(output)}`, { signal, query: { format }, once: true });
  }

  async *#lines(id: string, output: string, format: Format, signal: AbortSignal | undefined): AsyncGenerator<string, void, undefined> {
    try {
      const answer = await this.#output(id, output, format, signal);
      if (answer.body !== null) yield* lines(answer.body);
    } catch (e) {
      throw await this.#explain(id, e, signal);
    }
  }

  /** Returns the error of a transfer that has failed: that of its flow, if it has ended without completing. */
  async #explain(id: string, error: unknown, signal: AbortSignal | undefined): Promise<unknown> {
    if (signal?.aborted) return signal.reason;
    if (error instanceof DagyoError && error.status !== 422 && error.status !== 0) return error;
    const status = await this.show(id, { signal }).catch(() => undefined);
    if (status?.verdict && status.verdict !== "flow.completed") return new FlowError(status, status.verdict, { cause: error });
    return error instanceof DagyoError ? error : lost(`a transfer of flow ${id}`, error);
  }

  async #json<T>(method: string, path: string, call: Call): Promise<T> {
    const answer = await this.#send(method, path, call);
    try {
      return (await answer.json()) as T;
    } catch (e) {
      call.signal?.throwIfAborted();
      throw new DagyoError(answer.status, `the answer to ${method} ${this.url}/v1${path} is not JSON: is this the address of a gateway?`, [], { cause: e });
    }
  }

  async #done(method: string, path: string, call: Call): Promise<void> {
    const answer = await this.#send(method, path, call);
    await answer.body?.cancel();
  }

  /** Sends a request, again if the gateway is busy, and throws a DagyoError unless the answer is good. */
  async #send(method: string, path: string, call: Call): Promise<Response> {
    for (let failures = 0; ; failures++) {
      const answer = await this.#fetchOnce(method, path, call);
      if (answer.ok) return answer;
      const error = await toError(answer);
      call.signal?.throwIfAborted();
      const pause = call.once ? undefined : retryPauses[failures];
      if (pause === undefined || (answer.status !== 429 && answer.status !== 503)) throw error;
      await sleep(pause, call.signal);
    }
  }

  async #fetchOnce(method: string, path: string, call: Call): Promise<Response> {
    const url = new URL(this.url + "/v1" + path);
    for (const [name, value] of Object.entries(call.query ?? {})) if (value !== undefined) url.searchParams.set(name, String(value));
    const headers = { ...this.#headers, ...call.headers };
    const init: RequestInit & { duplex?: "half" } = { method, headers, cache: "no-store", credentials: "omit", redirect: "error" };
    if (call.signal) init.signal = call.signal;
    try {
      if (call.body instanceof ReadableStream) {
        init.body = this.#streaming ? call.body : await new Response(call.body).blob();
        if (this.#streaming) init.duplex = "half";
      } else if (call.body !== undefined) {
        init.body = call.body as BodyInit;
      }
      return await this.#fetch(url.href, init);
    } catch (e) {
      call.signal?.throwIfAborted();
      throw new DagyoError(0, `the gateway at ${this.url} does not answer (${message(e)}): check its address, or start \`dagyo up\``, [], { cause: e });
    }
  }
}

/** A flow of {@link Dagyo.run}. */
class Running {
  /** Ends everything. */
  readonly stop = new AbortController();
  /** Ends the feeding of inputs. */
  readonly #fed = new AbortController();
  readonly #outputs: Record<string, unknown> = {};
  #failure: { error: unknown } | undefined;

  constructor(
    readonly dagyo: Dagyo,
    readonly id: string,
    readonly inputs: Record<string, Source>,
    readonly sinks: Record<string, Sink<any>>,
  ) {
    this.stop.signal.addEventListener("abort", () => this.#fed.abort(this.stop.signal.reason), { once: true });
  }

  /** Runs the flow, and returns its outputs. */
  async run(flow: FlowDocument): Promise<Record<string, unknown>> {
    let submitted = false;
    try {
      await this.dagyo.submit(flow, { id: this.id, signal: this.stop.signal });
      submitted = true;
      return await this.#result();
    } catch (e) {
      const refused = e instanceof DagyoError && e.status >= 400 && e.status < 500;
      if (submitted || !refused) await this.#cancel(e); // else the id may be that of another flow
      throw e;
    }
  }

  /** Feeds and reads the flow up to its verdict, and returns its outputs. */
  async #result(): Promise<Record<string, unknown>> {
    const { dagyo, id } = this;
    const { signal } = this.stop;
    let verdict: Verdict | undefined;
    let feeding: Promise<unknown> = Promise.resolve();
    let reading: Promise<unknown> = Promise.resolve();
    for await (const event of dagyo.follow(id, { signal })) {
      if (event.type === "flow.planned") {
        const plan = event.data as Pick<FlowStatus, "inputs" | "outputs">;
        feeding = Promise.all(Object.entries(plan.inputs ?? {}).map(([name, at]) => this.#feed(name, at.type)));
        reading = Promise.all(Object.entries(plan.outputs ?? {}).map(([name, at]) => this.#read(name, at.type)));
      }
      if (isVerdict(event.type)) verdict = event.type;
    }
    this.#fed.abort();
    if (verdict === "flow.completed") await Promise.all([feeding, reading]);
    if (this.#failure && (verdict === "flow.completed" || verdict === "flow.cancelled")) throw this.#failure.error;
    if (verdict !== "flow.completed") await dagyo.wait(id, { signal }); // it throws
    return this.#outputs;
  }

  /** Cancels the flow because of an error, unless it has ended or another client has it. */
  async #cancel(why: unknown): Promise<void> {
    if (why instanceof FlowError || isHeld(why)) return;
    const reason = `the client has failed: ${message(why)}`.slice(0, 1000);
    await this.dagyo.cancel(this.id, { reason, signal: AbortSignal.timeout(cancelTime) }).catch(() => undefined);
  }

  async #feed(name: string, type = "octets"): Promise<void> {
    try {
      await this.dagyo.feed(this.id, name, this.inputs[name] ?? [], { type, signal: this.#fed.signal });
    } catch (e) {
      if (!this.#fed.signal.aborted) await this.#failed(e);
    }
  }

  async #read(name: string, type = "octets"): Promise<void> {
    try {
      const sink = Object.hasOwn(this.sinks, name) ? this.sinks[name] : undefined;
      this.#outputs[name] = await (sink ?? collect)(this.dagyo.read(this.id, name, { type, signal: this.stop.signal }));
    } catch (e) {
      if (!this.stop.signal.aborted) await this.#failed(e);
    }
  }

  /** Ends the flow because of a transfer. One that has ended before keeps its verdict. */
  async #failed(error: unknown): Promise<void> {
    if (this.#failure) return;
    this.#failure = { error };
    if (isHeld(error)) this.stop.abort(error);
    else await this.#cancel(error);
  }
}

/** Reports whether an error says that another client has an input or an output. */
function isHeld(error: unknown): boolean {
  return error instanceof DagyoError && error.status === 409;
}

async function collect<R>(records: AsyncIterable<R>): Promise<R[]> {
  const all: R[] = [];
  for await (const record of records) all.push(record);
  return all;
}

function checkInputs(flow: FlowDocument, given: Record<string, unknown>): void {
  const wanted = Object.keys(flow.inputs ?? {});
  const missing = wanted.filter((name) => !Object.hasOwn(given, name));
  if (missing.length > 0) throw new TypeError(`the flow has the inputs ${missing.join(", ")}: give each in options.inputs`);
  const unknown = Object.keys(given).filter((name) => !wanted.includes(name));
  if (unknown.length > 0) throw new TypeError(`the flow has no inputs ${unknown.join(", ")}: it has ${wanted.join(", ") || "none"}`);
}

async function toError(answer: Response): Promise<DagyoError> {
  let detail = "";
  let problems: Problem[] = [];
  try {
    const body = (await answer.json()) as { detail?: string; problems?: Problem[] };
    detail = body.detail ?? "";
    problems = body.problems ?? [];
  } catch {
    // it is not from the gateway, but from something in front of it
  }
  return new DagyoError(answer.status, detail || answer.statusText || `status ${answer.status}`, problems);
}

function lost(what: string, cause: unknown): DagyoError {
  return new DagyoError(0, `the connection for ${what} was lost${cause === undefined ? "" : `: ${message(cause)}`}`, [], { cause });
}

function message(e: unknown): string {
  return e instanceof Error ? e.message || e.name : String(e);
}

/** Returns a segment of a path. */
function part(name: string): string {
  if (name === "" || name === "." || name === "..") throw new TypeError(`${JSON.stringify(name)} is not a name`);
  return encodeURIComponent(name);
}

function toToken(credentials: string | Uint8Array): string {
  return toBase64(typeof credentials === "string" ? new TextEncoder().encode(credentials) : credentials);
}

/** Returns a new id of a flow or an event. */
function newID(): string {
  const random = crypto.getRandomValues(new Uint8Array(10));
  return "flow-" + Array.from(random, (b) => (b % 32).toString(32)).join("");
}

function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((done, failed) => {
    signal?.throwIfAborted();
    const stop = () => {
      clearTimeout(timer);
      failed(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      done();
    }, ms);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
