/** A collector of traces on loopback, for tests: takes OTLP over HTTP in JSON, and answers as told. */
import { once } from "node:events";
import { createServer, type IncomingHttpHeaders } from "node:http";

/** A span as it came over the wire. */
export interface PlainSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly { readonly key: string; readonly value: Readonly<Record<string, unknown>> }[];
  readonly status?: { readonly code: number };
}

/** One message. */
export interface Posted {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/** A collector that listens. */
export class LoopbackCollector implements AsyncDisposable {
  readonly posted: Posted[] = [];
  /** what the next messages are answered with; 0: nothing, ever */
  status = 200;
  readonly #server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const { method = "", url: path = "", headers } = request;
      this.posted.push({ method, path, headers, text: Buffer.concat(chunks).toString() });
      if (this.status === 0) return;
      response.writeHead(this.status, { "content-type": "application/json", location: "/elsewhere" }).end("{}");
    });
  });

  /** Listens on a free port. */
  static async start(): Promise<LoopbackCollector> {
    const collector = new LoopbackCollector();
    collector.#server.listen(0, "127.0.0.1");
    await once(collector.#server, "listening");
    return collector;
  }

  /** Where it listens, without a path. */
  get url(): string {
    const address = this.#server.address();
    return `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`;
  }

  /** All spans that came, in order. */
  get spans(): readonly PlainSpan[] {
    return this.posted.flatMap(({ text }) => spansIn(text));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** The spans of one message. */
export function spansIn(text: string): readonly PlainSpan[] {
  const message: {
    readonly resourceSpans: readonly { readonly scopeSpans: readonly { readonly spans: readonly PlainSpan[] }[] }[];
  } = JSON.parse(text);
  return message.resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans));
}

/** The attributes of a span by name, their values as they are. */
export function factsOf({ attributes }: Pick<PlainSpan, "attributes">): Readonly<Record<string, unknown>> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]));
}
