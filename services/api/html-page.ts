/**
 * Pages for browsers: one style, no script, nothing loaded from anywhere, and a policy that forbids both. Pure. Must never put a
 * text into a page unescaped. The digest of the style is a constant that a test compares: this room has no hash to make it with.
 */
import type { Incoming, Reply } from "./exchange.ts";

/** The style of all pages: light or dark as the browser is set, readable at any width. */
export const STYLE: string = [
  ":root{color-scheme:light dark;--ink:#1b1f24;--paper:#fff;--soft:#f3f5f7;--line:#d0d7de;--dim:#57606a;--link:#0a58ca;--mark:#e7f0ff}",
  "@media(prefers-color-scheme:dark){:root{--ink:#e6e8eb;--paper:#14171a;--soft:#20252a;--line:#3d444d;--dim:#a0a8b0;--link:#8ab4f8;--mark:#1d2b45}}",
  "*{box-sizing:border-box}html{scroll-padding-top:1rem}",
  "body{font:1rem/1.55 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:1.5rem 1rem 4rem;color:var(--ink);background:var(--paper)}",
  "a{color:var(--link)}a:focus-visible,summary:focus-visible,[tabindex]:focus-visible{outline:3px solid var(--link);outline-offset:2px}",
  ".skip{position:absolute;left:-99rem}.skip:focus{position:static}",
  "h1{line-height:1.2}h2{margin-top:2.5rem;border-bottom:1px solid var(--line)}h3{margin-top:2rem}h4{margin:1rem 0 .3rem}",
  "code,pre{font-family:ui-monospace,monospace;font-size:.92em}code{overflow-wrap:anywhere}",
  "pre{background:var(--soft);padding:.8rem 1rem;overflow:auto;border-radius:6px}",
  "table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.35rem .8rem .35rem 0;border-bottom:1px solid var(--line)}",
  "caption{text-align:left;font-weight:600;padding:.5rem 0}th{font-weight:600}td code{white-space:normal}.wide{overflow-x:auto}.dim{color:var(--dim)}",
  "nav ul{list-style:none;padding:0;columns:18rem}nav li{break-inside:avoid}",
  "section:target>h2,section:target>h3,dt:target{background:var(--mark)}details{margin:.5rem 0}summary{cursor:pointer}",
  "dt{margin-top:1rem;font-weight:600}dd{margin:.2rem 0 0 1.5rem}",
].join("\n");

/** SHA-256 of the style, as the content security policy names it. */
export const STYLE_DIGEST: string = "sha256-2iFJ5dCrx+qCiYrSyFpL2Ffxhbd3cxylbnknSw+zKTo=";

const POLICY = `default-src 'none'; style-src '${STYLE_DIGEST}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

/** A piece of HTML; `html` makes it. */
export class Html {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** HTML from a template: texts that are put in are escaped, HTML stays, lists are joined. */
export function html(
  parts: TemplateStringsArray,
  ...values: readonly (Html | readonly Html[] | string | number)[]
): Html {
  return new Html(parts.reduce((made, part, index) => made + textOf(values[index - 1] ?? "") + part));
}

function textOf(value: Html | readonly Html[] | string | number): string {
  if (value instanceof Html) return value.text;
  return typeof value === "object" ? value.map(({ text }) => text).join("") : escaped(String(value));
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

/** Sentences as they stand in descriptions: paragraphs, lists, `code`. */
export function prose(text: string): Html {
  const blocks = text.split("\n\n").filter((block) => block !== "");
  return html`${blocks.map((block) =>
    block.startsWith("- ")
      ? html`<ul>${block.split("\n").map((line) => html`<li>${inline(line.slice(2))}</li>`)}</ul>`
      : html`<p>${inline(block)}</p>`,
  )}`;
}

/** One sentence with `code` in it. */
export function inline(text: string): Html {
  return html`${text.split("`").map((piece, index) => (index % 2 === 0 ? html`${piece}` : html`<code>${piece}</code>`))}`;
}

/** A whole page. */
export function pageOf(title: string, body: Html): string {
  const style = new Html(`<style>${STYLE}</style>`);
  const head = html`<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title}</title>${style}`;
  const skip = html`<a class="skip" href="#main">To the text</a>`;
  return html`<!doctype html><html lang="en"><head>${head}</head><body>${skip}<main id="main">${body}</main></body></html>\n`
    .text;
}

/** The reply with a page; it differs by Accept. */
export function pageReply(page: string): Reply {
  const headers = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    vary: "accept",
  };
  return { status: 200, headers, body: page };
}

/** The client asks for HTML, as browsers do. */
export function wantsHtml(request: Incoming): boolean {
  const accept = request.headers["accept"];
  return typeof accept === "string" && accept.includes("text/html");
}
