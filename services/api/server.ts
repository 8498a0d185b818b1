/**
 * The client listener: the one door to fastify. Admits, dispatches to the routes, writes their replies, turns every
 * framework error into a problem document, and stops without hanging. Must never decode a body or a path itself, never
 * answer without Gyre-Request-Id, never log a key or a value.
 * Fastify is tuned by measurement: no logger, no per-request route options,
 * a raw parser for every type, labels bound at registration.
 */
import assert from "node:assert/strict";
import {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type FastifyServerFactory,
  fastify,
} from "fastify";
import { MAX_CLIENT_CONNECTIONS, MAX_HEADER_BYTES } from "../base/limits.ts";
import { SOJOURN_TARGET_MS } from "../base/load-limits.ts";
import type { AnswerSize } from "./answer-size.ts";
import { answerClientError } from "./client-error.ts";
import { defectFailure } from "./defect.ts";
import { drain } from "./drain.ts";
import { Entrance, Stay } from "./entrance.ts";
import { type Incoming, isReading, NO_BODY_BYTES, type Reply, type Route, type Timing } from "./exchange.ts";
import { asItIs } from "./exchange-marks.ts";
import { frameworkFailure } from "./framework-failure.ts";
import { type FrontDoor, standBefore } from "./front-door.ts";
import { Gatekeeper, routeFlaws } from "./gatekeeper.ts";
import { HTTP_LIMITS, type HttpLimits, listeningAt } from "./http-limits.ts";
import type { ApiDependencies } from "./ports.ts";
import { refusalForNow } from "./problem.ts";
import { overloadWords, retryAfterText } from "./quick-refusal.ts";
import { failureReply } from "./reply.ts";
import { isWorthALine, RequestLog } from "./request-log.ts";
import {
  type ListenerCounters,
  listenerCounters,
  type RouteDurations,
  recordDuration,
  routeDurations,
} from "./request-metrics.ts";
import { allRoutes } from "./routes.ts";
import { serverTimingText, tellTrace } from "./timing.ts";
import { unmatchedReply } from "./unmatched.ts";

/** The framework's way to try a request without a socket; for tests. */
export type Inject = FastifyInstance["inject"];

/** Makes the server of connections, in place of the framework's own. */
export type ServerMaker = (limits: HttpLimits, run: Parameters<ServerFactory>[0]) => FastifyInstance["server"];
type ServerFactory = FastifyServerFactory;

/** One node's client API. */
export interface ApiServer {
  /** Binds `host:port` and answers the address really bound. Rejects with the system's error (`code`: EADDRINUSE …). */
  listen(address: string): Promise<string>;
  /** Refuses new work (503 `shutting_down`), finishes what is under way for at most 10 s, closes. Never hangs. */
  close(): Promise<void>;
  readonly inject: Inject;
}

/** Makes the API over its ports; nothing is bound before `listen`. `makeServer`: TLS, instead of plain HTTP. */
export function createApiServer(deps: ApiDependencies, makeServer?: ServerMaker): ApiServer {
  return new Server(deps, makeServer);
}

class Server implements ApiServer {
  readonly inject: Inject;
  readonly #deps: ApiDependencies;
  readonly #app: FastifyInstance;
  readonly #entrance: Entrance;
  readonly #gatekeeper: Gatekeeper;
  readonly #counters: ListenerCounters;
  readonly #requestLog: RequestLog;
  readonly #idPrefix: string;
  readonly #routes: readonly Route[];
  readonly #frontDoor: FrontDoor;
  #lastId = 0;
  #closing: Promise<void> | undefined;

  constructor(deps: ApiDependencies, makeServer: ServerMaker | undefined) {
    this.#deps = deps;
    this.#idPrefix = `${deps.random.u32().toString(16).padStart(8, "0")}-`;
    this.#requestLog = new RequestLog(deps);
    this.#entrance = new Entrance({ ...deps, onFree: () => this.#frontDoor.placeFree() });
    const { admission, gate } = this.#entrance;
    this.#counters = listenerCounters(deps.metrics, admission, () => this.#frontDoor.waitingCount);
    this.#gatekeeper = new Gatekeeper({
      ...deps,
      tokens: deps.tokens,
      needsCertificate: deps.needsCertificate === true,
      refusesForeignHosts: deps.refusesForeignHosts === true,
    });
    this.#routes = allRoutes(deps, () => this.#closing !== undefined).map((route) => this.#gatekeeper.audited(route));
    assert.deepEqual(routeFlaws(this.#routes), [], "every route says who may use it");
    this.#app = this.#build(makeServer);
    this.#frontDoor = standBefore(this.#app.server, {
      clock: deps.clock,
      gate,
      reasonNow: (work, whose, bytes) => (this.#closing === undefined ? gate.reasonNow(work, whose, bytes) : undefined),
      onRefused: (work, why) => this.#counters.shed.note(work, why),
      onGone: () => this.#counters.gone.add(),
      nextId: () => this.#nextId(),
      chance: () => deps.random.float(),
    });
    this.inject = this.#app.inject.bind(this.#app);
    const { shed } = this.#counters;
    deps.calm?.follow({
      inflightOf: (work) => admission.inflightOf(work),
      refusedOf: (work) => shed.shortOf(work) + this.#frontDoor.waitedOf(work),
    });
  }

  async listen(address: string): Promise<string> {
    const url = await this.#app.listen(listeningAt(address));
    return url.replace(/^https?:\/\//, "");
  }

  close(): Promise<void> {
    if (this.#closing === undefined) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#closing = promise;
      resolve(this.#drain());
    }
    return this.#closing;
  }

  #drain(): Promise<void> {
    const { clock, log } = this.#deps;
    const { server } = this.#app;
    const requestCount = (): number => this.#entrance.admission.requests;
    this.#frontDoor.letInAll();
    return drain({ clock, log, server, requestCount, close: () => this.#app.close() });
  }

  #build(makeServer: ServerMaker | undefined): FastifyInstance {
    const serverFactory: ServerFactory | undefined = makeServer && ((run) => makeServer(HTTP_LIMITS, run));
    const app = fastify({
      http: HTTP_LIMITS,
      ...(serverFactory && { serverFactory }),
      // of requests that no route takes: nobody has let these in
      bodyLimit: NO_BODY_BYTES,
      requestTimeout: HTTP_LIMITS.requestTimeout,
      keepAliveTimeout: HTTP_LIMITS.keepAliveTimeout,
      return503OnClosing: false,
      exposeHeadRoutes: false,
      routerOptions: { maxParamLength: MAX_HEADER_BYTES, querystringParser: () => ({}) },
      genReqId: () => this.#nextId(),
      frameworkErrors: (error, request, reply) => this.#write(request, reply, this.#errorReply(error, request)),
      clientErrorHandler: (error, socket) =>
        answerClientError(error, socket, { requestId: this.#nextId(), clock: this.#deps.clock }),
    });
    app.decorateRequest("caller", undefined);
    app.decorateRequest("asker", undefined);
    app.decorateReply("stay", undefined);
    app.decorateReply("startedMs", 0);
    app.decorateReply("waitedMs", 0);
    app.decorateReply("timing", undefined);
    app.removeAllContentTypeParsers();
    app.addContentTypeParser("*", { parseAs: "buffer" }, (_request, body, done) => done(null, body));
    const unmatched = (request: FastifyRequest, reply: FastifyReply): void => {
      this.#counters.unmatched.add();
      this.#write(request, reply, unmatchedReply(this.#routes, request));
    };
    app.setNotFoundHandler(unmatched);
    app.setErrorHandler((error: FastifyError, request, reply) => {
      if (request.is404) unmatched(request, reply);
      else this.#write(request, reply, this.#errorReply(error, request));
    });
    for (const route of this.#routes) this.#register(app, route);
    app.server.maxConnections = MAX_CLIENT_CONNECTIONS;
    app.server.on("drop", () => this.#counters.dropped.add());
    return app;
  }

  #register(app: FastifyInstance, route: Route): void {
    const durations = routeDurations(this.#deps.metrics, route);
    const answers = this.#entrance.answersOf(route);
    app.route({
      method: route.method,
      url: route.path,
      bodyLimit: route.bodyLimitBytes,
      onRequest: (request, reply, done) => {
        const refused = this.#gatekeeper.refuse(route, request);
        if (refused !== undefined) this.#write(request, reply, refused);
        else if (this.#admit(route, { durations, answers }, { request, reply })) done();
      },
      handler: (request, reply) => this.#handle(route, request, reply),
    });
  }

  /** Before the body is read: counts the request in, or answers it. */
  #admit(
    route: Route,
    { durations, answers }: { readonly durations: RouteDurations; readonly answers: AnswerSize },
    exchange: { readonly request: FastifyRequest; readonly reply: FastifyReply },
  ): boolean {
    const { request, reply } = exchange;
    if (this.#closing !== undefined && route.work !== "control") {
      const why = refusalForNow("shutting_down", "this node is stopping; ask another one");
      this.#write(request, reply, failureReply(why));
      return false;
    }
    const { clock, traces } = this.#deps;
    const entered = this.#entrance.tryEnter(route, answers, request);
    if (!(entered instanceof Stay)) {
      this.#counters.shed.note(route.work, entered);
      const headers = { "retry-after": retryAfterText(this.#deps.random.float()) };
      this.#write(request, reply, failureReply(refusalForNow("overloaded", overloadWords(entered.words)), { headers }));
      return false;
    }
    const startedMs = clock.monotonicMs();
    const { raw } = reply;
    const { waitedMs = 0 } = request.raw;
    const cameMs = startedMs - waitedMs;
    reply.stay = entered;
    request.asker = entered;
    reply.startedMs = startedMs;
    reply.waitedMs = waitedMs;
    raw.once("close", () => {
      entered.over();
      const end = { status: raw.headersSent ? raw.statusCode : 0, durationMs: clock.monotonicMs() - cameMs };
      recordDuration(durations, end.status, end.durationMs * 1_000);
      if (isWorthALine(end)) this.#requestLog.tell(route, request, end);
      if (traces !== undefined) tellTrace(traces, { route, request, end, startedMs: cameMs, timing: reply.timing });
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
    if (!(answer instanceof Promise)) return this.#write(request, reply, answer);
    // control work may wait for hours, for whoever asks, and takes no place of others'
    if (route.work !== "control") reply.stay?.place.busy();
    const settled = (made: Reply, isDone: boolean): void => {
      reply.stay?.place.idle();
      if (isDone) this.#tellPace(route, reply, isReading(route) && made.status === 503 && reply.stay?.isOver === true);
      this.#write(request, reply, made);
    };
    answer.then(
      (made) => settled(made, true),
      (error: unknown) => settled(this.#defectReply(error, isReading(route), request), false),
    );
  }

  /**
   * Until the answer is made, not until it is sent: a client that reads slowly says nothing of this node. What was broken off, for a
   * client that has gone, would have taken at least so long: told where that is too long.
   */
  #tellPace({ isOfOneKey, work }: Route, reply: FastifyReply, isBrokenOff: boolean): void {
    const { calm, clock } = this.#deps;
    if (calm === undefined || isOfOneKey !== true || (work !== "read" && work !== "write")) return;
    const tookMs = clock.monotonicMs() - reply.startedMs;
    if (!isBrokenOff || tookMs > SOJOURN_TARGET_MS) calm.answered(work, tookMs);
  }

  #write(request: Incoming, reply: FastifyReply, answer: Reply): void {
    reply.code(answer.status).headers(answer.headers).header("gyre-request-id", request.id);
    if (this.#closing !== undefined) reply.header("connection", "close");
    if (answer.timing !== undefined) this.#showTiming(reply, answer.timing);
    reply.stay?.answered(answer.body?.length ?? 0);
    reply.serializer(asItIs).send(answer.body);
  }

  #showTiming(reply: FastifyReply, timing: Timing): void {
    reply.timing = timing;
    const { startedMs, waitedMs } = reply;
    const totalMs = this.#deps.clock.monotonicMs() - startedMs + waitedMs;
    reply.header("server-timing", serverTimingText(timing, { totalMs, waitedMs }));
  }

  #defectReply(error: unknown, isHarmless: boolean, request: Incoming): Reply {
    this.#deps.log.error({ event: "api.request-failed", requestId: request.id, error });
    return failureReply(defectFailure(isHarmless));
  }

  #errorReply(error: FastifyError, request: FastifyRequest): Reply {
    const known = frameworkFailure(error, request);
    return known === undefined ? this.#defectReply(error, true, request) : failureReply(known.failure, known.how);
  }

  #nextId(): string {
    this.#lastId += 1;
    return this.#idPrefix + this.#lastId.toString(36);
  }
}
