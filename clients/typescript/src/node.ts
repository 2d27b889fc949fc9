/** The entry for Node. */

import { readFileSync } from "node:fs";
import * as http from "node:http";
import * as https from "node:https";
import { homedir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import type { ReadableStream as NodeReadableStream } from "node:stream/web";
import { Dagyo as AnyDagyo, type Options } from "./dagyo.js";

export * from "./index.js";

/** A client of a gateway. All its methods may be called concurrently. */
export class Dagyo extends AnyDagyo {
  constructor(options: Options = {}) {
    super({ ...options, ...(options.url === undefined && discover(options)), fetch: options.fetch ?? send });
  }
}

/** Finds a gateway, and a token for it unless one is given. A token is used only for the address that it was found with. */
function discover(given: Options): Options {
  const { url, token } = locate();
  return given.token === undefined && given.credentials === undefined ? { url, token } : { url };
}

function locate(): { url: string; token: string | undefined } {
  const { DAGYO_HTTP_URL: url, DAGYO_HTTP_TOKEN: token, XDG_STATE_HOME } = process.env;
  if (url) return { url, token: token || undefined };
  const keys = join(XDG_STATE_HOME || join(homedir(), ".local", "state"), "dagyo", "keys");
  try {
    const header = readFileSync(join(keys, "http.header"), "utf8");
    return { url: readFileSync(join(keys, "http.url"), "utf8").trim(), token: header.replace(/^Authorization: Bearer /, "").trim() };
  } catch (cause) {
    throw new Error(`no gateway is known: start \`dagyo up\`, set DAGYO_HTTP_URL, or give a url (${(cause as Error).message})`, { cause });
  }
}

/** The bytes of an answer that are read ahead. */
const readAhead = 64 << 10;

/** Sends a request as fetch does, for Node's fetch ends streams that are silent for five minutes. */
function send(url: string, init: RequestInit): Promise<Response> {
  return new Promise((done, failed) => {
    const { method = "GET", body, signal } = init;
    const { request } = url.startsWith("https:") ? https : http;
    const req = request(url, { method, headers: init.headers as http.OutgoingHttpHeaders, ...(signal ? { signal } : {}) });
    let upload: Readable | undefined;
    req.on("error", failed);
    req.on("close", () => upload?.destroy());
    req.on("response", (res) => {
      upload?.destroy(); // the rest of the body is not wanted
      res.on("close", () => req.destroy());
      done(toResponse(res));
    });
    if (body instanceof Blob || body instanceof ReadableStream) {
      upload = Readable.fromWeb((body instanceof Blob ? body.stream() : body) as NodeReadableStream);
      upload.on("error", (e) => req.destroy(e));
      upload.pipe(req);
    } else {
      req.end(body);
    }
  });
}

function toResponse(res: http.IncomingMessage): Response {
  const status = res.statusCode ?? 0;
  const init = { status, statusText: res.statusMessage ?? "", headers: res.headers as Record<string, string> };
  if (status === 204) {
    res.resume();
    return new Response(null, init);
  }
  const body = Readable.toWeb(res, { strategy: new ByteLengthQueuingStrategy({ highWaterMark: readAhead }) } as object);
  return new Response(body as ReadableStream<Uint8Array>, init);
}
