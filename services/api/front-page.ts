/** GET /: where to start; text for curl, a small page for browsers. Must load nothing from anywhere and run no script. */
import type { ClusterReads } from "./cluster-reads.ts";
import { type Handler, type Incoming, NO_BODY_BYTES, type Reply, type Route } from "./exchange.ts";
import { textReply } from "./health-routes.ts";
import { html, pageOf, pageReply, wantsHtml } from "./html-page.ts";
import type { NodeStatus } from "./ports.ts";

/** What the pages show. */
export interface FrontDependencies {
  readonly status: NodeStatus;
  readonly reads: ClusterReads;
  /** requests need a token */
  readonly needsToken: boolean;
}

/** The page where people begin. */
export function frontRoutes(deps: FrontDependencies): readonly Route[] {
  const handle: Handler = (request) => front(deps, request);
  // It tells of this cluster: whoever may see nothing of it has no business here.
  const access = { kind: "known" } as const;
  const summary = "Where to start.";
  return [{ method: "GET", path: "/", summary, access, work: "control", bodyLimitBytes: NO_BODY_BYTES, handle }];
}

function front({ status, reads, needsToken }: FrontDependencies, request: Incoming): Reply {
  const { cluster, node, memberCount } = reads.names();
  const failed = status.readyz().filter((check) => !check.isOk);
  const health = reads.health("quorum");
  const ready = failed.length === 0 ? "ready" : `not ready (${failed.map((check) => check.reason).join("; ")})`;
  const reasons = health.reasons.length === 0 ? "" : ` (${health.reasons.join("; ")})`;
  const verdict = `gyre: node ${node} of cluster ${cluster} is ${ready}; the cluster of ${memberCount} is ${health.verdict}${reasons}.`;
  const base = `${isEncrypted(request) ? "https" : "http"}://${hostOf(request)}/v1/kv/demo/hello`;
  const curl = needsToken ? `curl -H "Authorization: Bearer $TOKEN"` : "curl";
  const lines = [`${curl} -X PUT ${base} -d '{"text":"hello"}'`, `${curl} ${base}`, `${curl} -X DELETE ${base}`];
  const links = ["/v1/cluster", "/v1/ring", "/readyz?verbose", "/metrics", "/docs", "/docs/errors", "/openapi.json"];
  if (!wantsHtml(request)) return textReply(`${verdict}\n\n${lines.join("\n")}\n\nMore: ${links.join("  ")}\n`);
  const shownLinks = links.map((link) => html`<li><a href="${link}"><code>${link}</code></a></li>`);
  const body = html`<h1>gyre</h1><p>${verdict}</p><pre tabindex="0">${lines.join("\n")}</pre><ul>${shownLinks}</ul>`;
  return pageReply(pageOf("gyre", body));
}

/** The connection is TLS's own: what stands in front of this node is not known here. */
function isEncrypted({ raw }: Incoming): boolean {
  const socket = "socket" in raw ? raw.socket : undefined;
  return typeof socket === "object" && socket !== null && "encrypted" in socket && socket.encrypted === true;
}

/** The address that the client used, when it is one; it is shown back, so nothing else is. */
function hostOf(request: Incoming): string {
  const host = request.headers["host"];
  return typeof host === "string" && /^[A-Za-z0-9.:[\]-]{1,255}$/.test(host) ? host : "127.0.0.1:4400";
}
