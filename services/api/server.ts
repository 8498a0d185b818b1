/**
 * The client listener: the one door to fastify. Admits, dispatches to the routes, writes their replies, turns every
 * framework error into a problem document, and stops without hanging. Must never decode a body or a path itself, never
 * answer without Gyre-Request-Id, never log a key or a value.
 * Fastify is tuned by measurement: no logger, no per-request route options,
 * a raw parser for every type, labels bound at registration.
 */
import { type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from "fastify";
import {
  DRAIN_TIMEOUT_MS,
  KEEP_ALIVE_TIMEOUT_MS,
  MAX_HEADER_BYTES,
  MAX_VALUE_BYTES,
  REQUEST_READ_TIMEOUT_MS,
} from "../base/limits.ts";
import type { Counter } from "../base/metrics.ts";
import type { Timer } from "../base/ports.ts";
import type { Failure } from "../coordinator/contract.ts";
import { Admission } from "./admission.ts";
import { answerClientError } from "./client-error.ts";
import type { Incoming, Reply, Route, WorkClass } from "./exchange.ts";
import type { ApiDependencies } from "./ports.ts";
import { refusal, refusalForNow } from "./problem.ts";
import { type FailureContext, failureReply } from "./reply.ts";
import { type RouteDurations, recordDuration, routeDurations, shedCounters } from "./request-metrics.ts";
import { allRoutes } from "./routes.ts";
import { unmatchedReply } from "./unmatched.ts";

declare module "fastify" {
  interface FastifyReply {
    /** what the request and its answer occupy until the connection has taken the answer; −1: not admitted */
    heldBytes: number;
    /** monotonic, when its headers had been read */
    startedMs: number;
  }
}

/** The framework's way to try a request without a socket; for tests. */
export type Inject = FastifyInstance["inject"];

/** One node's client API. */
export interface ApiServer {
  /** Binds `host:port` and answers the address really bound. Rejects with the system's error (`code`: EADDRINUSE …). */
  listen(address: string): Promise<string>;
  /** Refuses new work (503 `shutting_down`), finishes what is under way for at most 10 s, closes. Never hangs. */
  close(): Promise<void>;
  readonly inject: Inject;
}

/** Makes the API over its ports; nothing is bound before `listen`. */
export function createApiServer(deps: ApiDependencies): ApiServer {
  return new Server(deps);
}

const NOT_ADMITTED = -1;

class Server implements ApiServer {
  readonly inject: Inject;
  readonly #deps: ApiDependencies;
  readonly #app: FastifyInstance;
  readonly #admission = new Admission();
  readonly #unmatched: Counter;
  readonly #shed: Readonly<Record<WorkClass, Counter>>;
  readonly #idPrefix: string;
  readonly #routes: readonly Route[];
  #lastId = 0;
  #closing: Promise<void> | undefined;

  constructor(deps: ApiDependencies) {
    this.#deps = deps;
    this.#idPrefix = `${deps.random.u32().toString(16).padStart(8, "0")}-`;
    const help = "Requests that no route took: unknown paths and methods.";
    this.#unmatched = deps.metrics.counter({ name: "gyre_http_unmatched_requests_total", help });
    this.#shed = shedCounters(deps.metrics);
    this.#routes = allRoutes(deps, () => this.#closing !== undefined);
    this.#app = this.#build();
    this.inject = this.#app.inject.bind(this.#app);
    this.#registerGauges();
  }

  async listen(address: string): Promise<string> {
    const colon = address.lastIndexOf(":");
    const host = address.slice(0, colon).replace(/^\[|\]$/g, "");
    const url = await this.#app.listen({ host, port: Number(address.slice(colon + 1)) });
    return url.replace(/^https?:\/\//, "");
  }

  close(): Promise<void> {
    this.#closing ??= this.#drain();
    return this.#closing;
  }

  /** Idle keep-alive connections are closed again and again: one may fall idle after fastify has looked. */
  async #drain(): Promise<void> {
    const { clock, log } = this.#deps;
    const server = this.#app.server;
    const deadlineMs = clock.monotonicMs() + DRAIN_TIMEOUT_MS;
    let timer: Timer | undefined;
    const sweep = (): void => {
      if (clock.monotonicMs() < deadlineMs) server.closeIdleConnections();
      else {
        log.warn({ event: "api.drain-timed-out", requestCount: this.#admission.requests });
        server.closeAllConnections();
      }
      timer = clock.setTimer(25, sweep);
    };
    timer = clock.setTimer(25, sweep);
    await this.#app.close();
    timer.cancel();
  }

  #build(): FastifyInstance {
    const app = fastify({
      http: { maxHeaderSize: MAX_HEADER_BYTES },
      bodyLimit: MAX_VALUE_BYTES,
      requestTimeout: REQUEST_READ_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
      return503OnClosing: false,
      exposeHeadRoutes: false,
      routerOptions: { maxParamLength: MAX_HEADER_BYTES, querystringParser: () => ({}) },
      genReqId: () => this.#nextId(),
      frameworkErrors: (error, request, reply) => this.#write(request, reply, this.#errorReply(error, request)),
      clientErrorHandler: (error, socket) => answerClientError(error, socket, this.#nextId()),
    });
    app.decorateReply("heldBytes", NOT_ADMITTED);
    app.decorateReply("startedMs", 0);
    app.removeAllContentTypeParsers();
    app.addContentTypeParser("*", { parseAs: "buffer" }, (_request, body, done) => done(null, body));
    app.setErrorHandler((error: FastifyError, request, reply) =>
      this.#write(request, reply, this.#errorReply(error, request)),
    );
    app.setNotFoundHandler((request, reply) => {
      this.#unmatched.add();
      this.#write(request, reply, unmatchedReply(this.#routes, request));
    });
    for (const route of this.#routes) this.#register(app, route);
    return app;
  }

  #register(app: FastifyInstance, route: Route): void {
    const durations = routeDurations(this.#deps.metrics, route);
    app.route({
      method: route.method,
      url: route.path,
      bodyLimit: route.bodyLimitBytes,
      onRequest: (request, reply, done) => {
        if (this.#admit(route, durations, { request, reply })) done();
      },
      handler: (request, reply) => this.#handle(route, request, reply),
    });
  }

  /** Before the body is read: counts the request in, or answers it. */
  #admit(
    route: Route,
    durations: RouteDurations,
    exchange: { readonly request: FastifyRequest; readonly reply: FastifyReply },
  ): boolean {
    const { request, reply } = exchange;
    if (this.#closing !== undefined && route.work !== "control") {
      this.#write(
        request,
        reply,
        failureReply(refusalForNow("shutting_down", "this node is stopping; ask another one")),
      );
      return false;
    }
    const bytes = announcedBytes(request, route);
    if (!this.#admission.tryEnter(route.work, bytes)) {
      this.#shed[route.work].add();
      this.#write(request, reply, failureReply(refusalForNow("overloaded", overloadWords(route.work))));
      return false;
    }
    const { clock } = this.#deps;
    const startedMs = clock.monotonicMs();
    const { raw } = reply;
    reply.heldBytes = bytes;
    reply.startedMs = startedMs;
    raw.once("close", () => {
      this.#admission.leave(reply.heldBytes);
      // A reply that comes after its client has gone must not be counted in again.
      reply.heldBytes = NOT_ADMITTED;
      recordDuration(durations, raw.headersSent ? raw.statusCode : 0, (clock.monotonicMs() - startedMs) * 1_000);
    });
    return true;
  }

  #handle(route: Route, request: FastifyRequest, reply: FastifyReply): void {
    let answer: Reply | Promise<Reply>;
    try {
      answer = route.handle(request);
    } catch (error) {
      answer = this.#defectReply(error, isReading(route), request);
    }
    if (answer instanceof Promise) {
      answer.then(
        (settled) => {
          this.#tellPace(route, reply);
          this.#write(request, reply, settled);
        },
        (error: unknown) => this.#write(request, reply, this.#defectReply(error, isReading(route), request)),
      );
    } else this.#write(request, reply, answer);
  }

  /** Until the answer is made, not until it is sent: a client that reads slowly says nothing of this node. */
  #tellPace({ isOfOneKey, work }: Route, reply: FastifyReply): void {
    const { calm, clock } = this.#deps;
    if (calm === undefined || isOfOneKey !== true || (work !== "read" && work !== "write")) return;
    calm.answered(work, clock.monotonicMs() - reply.startedMs);
  }

  #write(request: Incoming, reply: FastifyReply, answer: Reply): void {
    reply.code(answer.status).headers(answer.headers).header("gyre-request-id", request.id);
    if (this.#closing !== undefined) reply.header("connection", "close");
    if (reply.heldBytes !== NOT_ADMITTED && answer.body !== undefined) {
      reply.heldBytes += answer.body.length;
      this.#admission.grow(answer.body.length);
    }
    // A serializer that passes text on keeps the content type as it was set: fastify would add a charset.
    reply.serializer(asItIs).send(answer.body);
  }

  #defectReply(error: unknown, isHarmless: boolean, request: Incoming): Reply {
    this.#deps.log.error({ event: "api.request-failed", requestId: request.id, error });
    const failure: Failure = {
      kind: "failed",
      code: "internal_error",
      outcome: isHarmless ? "not_applied" : "unknown",
      retryable: true,
      detail: "a defect in gyre; the node's log has more under this request id",
    };
    return failureReply(failure);
  }

  #errorReply(error: FastifyError, request: Incoming): Reply {
    const known = frameworkFailure(error);
    return known === undefined ? this.#defectReply(error, true, request) : failureReply(known.failure, known.how);
  }

  #nextId(): string {
    this.#lastId += 1;
    return this.#idPrefix + this.#lastId.toString(36);
  }

  #registerGauges(): void {
    const { metrics } = this.#deps;
    metrics.gauge(
      { name: "gyre_http_inflight_requests", help: "Client requests under way." },
      () => this.#admission.requests,
    );
    metrics.gauge(
      { name: "gyre_http_inflight_bytes", help: "Bytes of client requests under way." },
      () => this.#admission.bytes,
    );
  }
}

/** A request of this route changes nothing, whatever becomes of it. */
function isReading({ method }: Route): boolean {
  return method === "GET" || method === "HEAD";
}

function asItIs(text: string): string {
  return text;
}

/** What the request says it will bring; a body of unknown length is taken to be the longest allowed. */
function announcedBytes(request: FastifyRequest, route: Route): number {
  const { headers } = request;
  const length = headers["content-length"];
  if (length !== undefined) return Math.min(Number(length), route.bodyLimitBytes);
  return headers["transfer-encoding"] === undefined ? 0 : route.bodyLimitBytes;
}

function overloadWords(work: WorkClass): string {
  return `this node has all the ${work} work that it takes at a time; try again after Retry-After, or ask another node`;
}

function frameworkFailure(
  error: FastifyError,
): { readonly failure: Failure; readonly how: FailureContext } | undefined {
  switch (error.code) {
    case "FST_ERR_CTP_BODY_TOO_LARGE":
      return { failure: refusal("value_too_large", "the body is over the limit of this path"), how: {} };
    case "FST_ERR_CTP_INVALID_MEDIA_TYPE":
      return { failure: refusal("unsupported_media_type", "the content type is not type/subtype"), how: {} };
    case "FST_ERR_BAD_URL":
      return {
        failure: refusal(
          "invalid_request",
          "the path has a broken percent escape, or is not UTF-8; a % is written %25",
        ),
        how: {},
      };
    case "FST_ERR_MAX_PARAM_LENGTH":
      return { failure: refusal("invalid_request", "the path is too long"), how: { status: 414 } };
    default: {
      const status = error.statusCode ?? 500;
      if (status < 400 || status >= 500) return undefined;
      return { failure: refusal("invalid_request", "the request could not be read to its end"), how: { status } };
    }
  }
}
