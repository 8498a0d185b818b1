/**
 * Who may come in: judges each request by its route's line in the route table, before its body is read and before any work. Deny
 * by default. Must never judge by anything but what the handler will act on: the bucket comes out of the same function.
 */
import type { Counter, MetricsRegistry } from "../base/metrics.ts";
import type { Clock, Log } from "../base/ports.ts";
import type { Failure } from "../coordinator/contract.ts";
import { audit } from "../security/audit.ts";
import { certificateFlaw, type ShownCertificate } from "../security/client-certificate.ts";
import { FailureLimiter, sourceOf } from "../security/failure-limiter.ts";
import { ANYONE, type Caller, NOBODY, type Right } from "../security/rights.ts";
import type { TokenBook } from "../security/token-book.ts";
import { addressOf, auditedRoute, rightOf } from "./audited-routes.ts";
import type { Incoming, Reply, Route } from "./exchange.ts";
import { refusal, refusalForNow } from "./problem.ts";
import { failureReply } from "./reply.ts";
import { bucketIn } from "./target.ts";

/** A request with its connection. */
export interface GuardedRequest extends Incoming {
  readonly raw: Incoming["raw"] & {
    readonly socket: ShownCertificate & {
      readonly remoteAddress?: string | undefined;
      readonly authorized?: boolean | undefined;
    };
  };
  caller?: Caller | undefined;
}

/** What guarding works with. */
export interface GateParts {
  /** undefined: the node was told of no tokens */
  readonly tokens: TokenBook | undefined;
  /** of the connection, beside any token */
  readonly needsCertificate: boolean;
  /** nothing but the loopback address guards this node: a browser's page must not borrow it under a name of its own */
  readonly refusesForeignHosts: boolean;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: MetricsRegistry;
}

const REFUSALS = ["unauthenticated", "forbidden", "throttled"] as const;
type RefusalKind = (typeof REFUSALS)[number];
const CHALLENGE = 'Bearer realm="gyre"';

/** Whom a request comes from, for routes that ask part by part. */
export function callerOf(request: Incoming): Caller {
  return request.caller ?? NOBODY;
}

/** What the caller lacks, in words that name who, what and where. */
export function forbidden(caller: Caller, right: Right, bucket?: string): Failure {
  const where = bucket === undefined ? "on the cluster" : `on bucket ${bucket}`;
  const facts = { principal: caller.name, right, ...(bucket === undefined ? {} : { bucket }) };
  return refusal("forbidden", `${caller.name} has no ${right} right ${where}`, facts);
}

/** The guard of one listener. */
export class Gatekeeper {
  readonly #tokens: TokenBook | undefined;
  readonly #needsCertificate: boolean;
  readonly #refusesForeignHosts: boolean;
  /** the last Host that was one of this machine */
  #ownHost: string | undefined;
  readonly #parts: GateParts;
  readonly #failures = new FailureLimiter();
  readonly #refused: Readonly<Record<RefusalKind, Counter>>;

  constructor(parts: GateParts) {
    this.#parts = parts;
    this.#tokens = parts.tokens;
    this.#needsCertificate = parts.needsCertificate;
    this.#refusesForeignHosts = parts.refusesForeignHosts;
    const counter = (reason: RefusalKind): Counter =>
      parts.metrics.counter({
        name: "gyre_http_refused_requests_total",
        help: "Requests refused for what their sender is or may do, by reason.",
        labels: { reason },
      });
    this.#refused = {
      unauthenticated: counter("unauthenticated"),
      forbidden: counter("forbidden"),
      throttled: counter("throttled"),
    };
  }

  /** Notes whom the request comes from; the refusal when it may not use the route. */
  refuse(route: Route, request: GuardedRequest): Reply | undefined {
    const { access } = route;
    const tokens = this.#tokens;
    if (access.kind === "open") return undefined;
    if (this.#needsCertificate && request.raw.socket.authorized !== true) {
      return this.#unauthenticated(route, request, certificateFlaw(request.raw.socket));
    }
    if (tokens === undefined) {
      // The only routes that ask for the caller again: the others need not pay for it.
      if (access.kind === "parts") request.caller = ANYONE;
      return this.#refusesForeignHosts ? this.#foreignHost(route, request) : undefined;
    }
    const header = request.headers["authorization"];
    const shown = tokens.present(typeof header === "string" ? header : undefined, this.#wallMs);
    if (shown.kind !== "known") return this.#unauthenticated(route, request, shown);
    request.caller = shown.caller;
    const failure = failureOf(access, shown.caller, request.raw.url);
    if (failure === undefined) return undefined;
    return failure.code === "forbidden" ? this.#forbidden(route, request, failure) : failureReply(failure);
  }

  /** The route with the audit trail behind its handler. */
  audited(route: Route): Route {
    return auditedRoute(route, { log: this.#parts.log, onRefused: this.#noteForbidden });
  }

  /** A name that leads to this machine today may have led a browser's page here (DNS rebinding; etcd CVE-2018-1099). */
  #foreignHost(route: Route, request: GuardedRequest): Reply | undefined {
    const { host } = request.headers;
    if (host === this.#ownHost || host === undefined) return undefined;
    if (typeof host === "string" && isOfThisMachine(host)) {
      this.#ownHost = host;
      return undefined;
    }
    const words =
      "without tokens this node answers to localhost and to addresses only, not to names; or start it with GYRE_INSECURE=true";
    return this.#forbidden(route, request, refusal("forbidden", words, { header: "host" }));
  }

  readonly #wallMs = (): number => this.#parts.clock.wallMicros() / 1_000;

  /** `code`: what is wrong with the certificate, when that is the reason. */
  #unauthenticated(
    route: Route,
    request: GuardedRequest,
    { words, code }: { readonly words: string; readonly code?: string },
  ): Reply {
    const address = addressOf(request);
    const verdict = this.#failures.fail(sourceOf(address), this.#parts.clock.monotonicMs());
    if (verdict.isOverLimit) {
      this.#refused.throttled.add();
      const detail =
        code === undefined
          ? "too many requests without a valid token came from this address; those with one are not held up"
          : `too many refused requests came from this address; those that may come in are not held up. Of this one: ${words}`;
      const headers = { "www-authenticate": CHALLENGE, ...closing(request) };
      return failureReply({ ...refusalForNow("overloaded", detail), retryable: false }, { status: 429, headers });
    }
    this.#refused.unauthenticated.add();
    const facts = { principal: NOBODY.name, code: "unauthenticated", status: 401, certificate: code };
    this.#tell(route, request, { ...facts, ...verdict });
    return failureReply(refusal("unauthenticated", words), {
      headers: { "www-authenticate": CHALLENGE, ...closing(request) },
    });
  }

  #forbidden(route: Route, request: GuardedRequest, failure: Failure): Reply {
    this.#noteForbidden(route, request, [failure]);
    return failureReply(failure, { headers: closing(request) });
  }

  /** One refused request, for as many reasons. */
  readonly #noteForbidden = (route: Route, request: Incoming, failures: readonly Failure[]): void => {
    this.#refused.forbidden.add();
    const principal = (request.caller ?? (this.#tokens === undefined ? ANYONE : NOBODY)).name;
    // Where there are no tokens all have one name: who asks too often must not hide the others.
    const source = this.#tokens === undefined ? `${principal} at ${sourceOf(addressOf(request))}` : principal;
    for (const { facts } of failures) {
      const verdict = this.#failures.fail(`principal ${source}`, this.#parts.clock.monotonicMs());
      // Its answers stay the same; only its lines in the trail become fewer.
      if (verdict.isOverLimit) continue;
      const [bucket, right] = [textOf(facts?.["bucket"]), textOf(facts?.["right"])];
      this.#tell(route, request, { principal, code: "forbidden", status: 403, bucket, right, ...verdict });
    }
  };

  #tell(
    route: Route,
    request: Incoming,
    facts: {
      readonly principal: string;
      readonly code: string;
      readonly status: number;
      readonly bucket?: string | undefined;
      /** in place of what the route asks for */
      readonly right?: string | undefined;
      readonly certificate?: string | undefined;
      readonly heldBackCount: number;
    },
  ): void {
    const { principal, code, status, bucket, right = rightOf(route), certificate, heldBackCount } = facts;
    audit(this.#parts.log, {
      principal,
      address: addressOf(request),
      route: `${route.method} ${route.path}`,
      right,
      bucket,
      outcome: "refused",
      status,
      code,
      ...(certificate === undefined ? {} : { certificate }),
      requestId: request.id,
      heldBackCount,
    });
  }
}

/** What a known caller lacks for a route, or what is wrong with the bucket that the path names. */
function failureOf(access: Route["access"], caller: Caller, url: string | undefined): Failure | undefined {
  switch (access.kind) {
    case "open":
    case "known":
    case "parts":
      return undefined;
    case "cluster":
      return caller.may(access.right) ? undefined : forbidden(caller, access.right);
    case "bucket": {
      const bucket = bucketIn(url, access.prefix);
      if (typeof bucket !== "string") return bucket;
      return caller.mayOn(access.right, bucket) ? undefined : forbidden(caller, access.right, bucket);
    }
  }
}

/** What stands against starting with these routes: one that nobody decided about. */
export function routeFlaws(routes: readonly Route[]): readonly string[] {
  const known: readonly unknown[] = ["open", "known", "parts", "cluster", "bucket"];
  return routes.flatMap((route) => {
    const access: Partial<Route["access"]> | undefined = route.access;
    return known.includes(access?.kind) ? [] : [`${route.method} ${route.path} does not say who may use it`];
  });
}

function textOf(fact: unknown): string | undefined {
  return typeof fact === "string" ? fact : undefined;
}

/** An address in digits, or localhost and what lies under it: none of it can be made to lead elsewhere, or here. */
function isOfThisMachine(host: string): boolean {
  return /^(?:(?:[a-z0-9-]+\.)*localhost|\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-f:.]+\])(?::\d{1,5})?$/i.test(host);
}

/** A body that nobody will read must not hold the connection. */
function closing({ headers }: Incoming): Readonly<Record<string, string>> {
  const length = headers["content-length"];
  const hasBody = headers["transfer-encoding"] !== undefined || (length !== undefined && length !== "0");
  return hasBody ? { connection: "close" } : {};
}
