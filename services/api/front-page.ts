/**
 * GET /, GET /docs and GET /docs/errors: where to start, what there is, what each error code means; text for curl, a small
 * page for browsers.
 * Must load nothing from anywhere and run no script.
 */
import type { ClusterReads } from "./cluster-reads.ts";
import { type Handler, type Incoming, NO_BODY_BYTES, type Reply, type Route } from "./exchange.ts";
import { textReply } from "./health-routes.ts";
import type { NodeStatus } from "./ports.ts";
import { CODES } from "./problem.ts";

const HTML = "text/html; charset=utf-8";
const STYLE =
  "body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:3rem auto;padding:0 1rem;color:#1b1f24;background:#fff}" +
  "pre{background:#f3f5f7;padding:1rem;overflow:auto;border-radius:6px}code{font-family:ui-monospace,monospace}" +
  "@media(prefers-color-scheme:dark){body{color:#e6e8eb;background:#14171a}pre{background:#20252a}a{color:#8ab4f8}}";

/** What the pages show. */
export interface FrontDependencies {
  readonly status: NodeStatus;
  readonly reads: ClusterReads;
  /** every route but those of HEAD, these pages included */
  readonly routes: () => readonly Route[];
}

/** The pages for people. */
export function frontRoutes(deps: FrontDependencies): readonly Route[] {
  const route = (path: string, summary: string, handle: Handler): Route => {
    // The docs are the same on every node of this version; the front page tells of this cluster.
    const access = { kind: path === "/" ? "known" : "open" } as const;
    return { method: "GET", path, summary, access, work: "control", bodyLimitBytes: NO_BODY_BYTES, handle };
  };
  return [
    route("/", "Where to start.", (request) => front(deps, request)),
    route("/docs", "Every route in one sentence.", (request) => routesPage(deps.routes(), request)),
    route("/docs/errors", "What each error code means.", (request) => errorsPage(request)),
  ];
}

function front({ status, reads }: FrontDependencies, request: Incoming): Reply {
  const { cluster, node, memberCount } = reads.names();
  const failed = status.readyz().filter((check) => !check.isOk);
  const health = reads.health("quorum");
  const ready = failed.length === 0 ? "ready" : `not ready (${failed.map((check) => check.reason).join("; ")})`;
  const reasons = health.reasons.length === 0 ? "" : ` (${health.reasons.join("; ")})`;
  const verdict = `gyre: node ${node} of cluster ${cluster} is ${ready}; the cluster of ${memberCount} is ${health.verdict}${reasons}.`;
  const base = `http://${hostOf(request)}/v1/kv/demo/hello`;
  const lines = [`curl -X PUT ${base} -d '{"text":"hello"}'`, `curl ${base}`, `curl -X DELETE ${base}`];
  const links = ["/v1/cluster", "/v1/ring", "/readyz?verbose", "/metrics", "/docs", "/docs/errors"];
  if (!wantsHtml(request)) return textReply(`${verdict}\n\n${lines.join("\n")}\n\nMore: ${links.join("  ")}\n`);
  const shownLinks = links.map((link) => `<a href="${link}"><code>${link}</code></a>`).join(" · ");
  return page(
    "gyre",
    `<h1>gyre</h1><p>${escaped(verdict)}</p><pre>${escaped(lines.join("\n"))}</pre><p>${shownLinks}</p>`,
  );
}

/** A path as people write it: `/v1/kv/{bucket}/{key}`. */
function pathText(path: string): string {
  return path.replace("*", "{key}").replaceAll(/:(\w+)/g, "{$1}");
}

function routesPage(routes: readonly Route[], request: Incoming): Reply {
  const lines = routes.map(({ method, path, summary }) => ({ name: `${method} ${pathText(path)}`, summary }));
  if (!wantsHtml(request)) return textReply(lines.map(({ name, summary }) => `${name}\n    ${summary}\n`).join(""));
  const list = lines.map(({ name, summary }) => `<dt><code>${escaped(name)}</code></dt><dd>${escaped(summary)}</dd>`);
  const links = '<p><a href="/">start</a> · <a href="/docs/errors">errors</a></p>';
  return page("gyre: routes", `<h1>What this node answers</h1><dl>${list.join("")}</dl>${links}`);
}

function errorsPage(request: Incoming): Reply {
  const entries = Object.entries(CODES);
  if (!wantsHtml(request)) {
    return textReply(entries.map(([code, entry]) => `${entry.status} ${code}\n    ${entry.meaning}\n`).join(""));
  }
  const list = entries.map(
    ([code, entry]) => `<dt id="${code}"><code>${code}</code> · ${entry.status}</dt><dd>${escaped(entry.meaning)}</dd>`,
  );
  return page("gyre: errors", `<h1>What errors mean</h1><dl>${list.join("")}</dl><p><a href="/">start</a></p>`);
}

function page(title: string, body: string): Reply {
  const head = `<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title}</title>`;
  const html = `<!doctype html><html lang="en"><head>${head}<style>${STYLE}</style></head><body>${body}</body></html>\n`;
  const reply = textReply(html, HTML);
  const policy = "default-src 'none'; style-src 'unsafe-inline'";
  return {
    ...reply,
    headers: { ...reply.headers, "content-security-policy": policy, "x-content-type-options": "nosniff" },
  };
}

function wantsHtml(request: Incoming): boolean {
  const accept = request.headers["accept"];
  return typeof accept === "string" && accept.includes("text/html");
}

/** The address that the client used, when it is one; it is shown back, so nothing else is. */
function hostOf(request: Incoming): string {
  const host = request.headers["host"];
  return typeof host === "string" && /^[A-Za-z0-9.:[\]-]{1,255}$/.test(host) ? host : "127.0.0.1:4400";
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}
