/** The documentation that a node serves: pages without a script, every link in them leads somewhere, text for terminals. */
import { createHash } from "node:crypto";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { html, prose, STYLE, STYLE_DIGEST } from "../../../services/api/html-page.ts";
import { CODES, typeOf } from "../../../services/api/problem.ts";
import type { ErrorCode } from "../../../services/base/errors.ts";
import { type ApiNode, apiNode } from "../../support/api-node.ts";
import { documentText, members, operationsIn } from "../../support/openapi-document.ts";

const OPERATIONS = operationsIn(members(JSON.parse(await documentText())));
const BROWSER = { accept: "text/html,application/xhtml+xml,*/*;q=0.8" };
const PAGES = ["/", "/docs", "/docs/errors"] as const;

let here: ApiNode;
beforeEach(() => {
  here = apiNode();
});
afterEach(() => here.api.close());

async function page(
  url: string,
): Promise<{ readonly body: string; readonly headers: Readonly<Record<string, unknown>> }> {
  const { body, headers, statusCode } = await here.api.inject({ url, headers: BROWSER });
  expect(statusCode).toBe(200);
  return { body, headers };
}

function idsIn(body: string): readonly string[] {
  return [...body.matchAll(/ id="([^"]*)"/g)].map(([, id = ""]) => id);
}

describe("a page for browsers", () => {
  it.each(PAGES)("(%s) runs no script, loads nothing, and forbids both", async (url) => {
    const { body, headers } = await page(url);
    expect(body).not.toMatch(/<script|<img|<link|<iframe|<form|javascript:|\son\w+=|\sstyle="|@import|url\(/i);
    expect(body).not.toMatch(/(href|src)="(https?:)?\/\//);
    const policy = `default-src 'none'; style-src '${STYLE_DIGEST}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;
    expect(headers).toMatchObject({
      "content-type": "text/html; charset=utf-8",
      "content-security-policy": policy,
      "x-content-type-options": "nosniff",
      vary: "accept",
    });
    expect(body).toContain(`<style>${STYLE}</style>`);
  });

  it("has the one style that the policy names", () => {
    expect(STYLE_DIGEST).toBe(`sha256-${createHash("sha256").update(STYLE).digest("base64")}`);
    expect(STYLE).toContain("prefers-color-scheme:dark");
  });

  it.each(PAGES)("(%s) is well formed, in one language, with one heading and a way past the contents", async (url) => {
    const { body } = await page(url);
    const open: string[] = [];
    for (const [, slash, name = ""] of body.matchAll(/<(\/?)([a-z][a-z0-9]*)[^>]*>/g)) {
      if (["meta"].includes(name)) continue;
      if (slash === "") open.push(name);
      else expect(open.pop()).toBe(name);
    }
    expect(open).toEqual([]);
    expect(body.match(/<h1>/g)?.length).toBe(1);
    expect(body).toContain('<html lang="en">');
    expect(body).toContain('<a class="skip" href="#main">');
    expect(new Set(idsIn(body)).size).toBe(idsIn(body).length);
  });

  it("has a place for every link in it", async () => {
    const ids = new Map<string, readonly string[]>();
    for (const url of PAGES) ids.set(url, idsIn((await page(url)).body));
    let count = 0;
    for (const url of PAGES) {
      const { body } = await page(url);
      for (const [, href = ""] of body.matchAll(/href="([^"]*)"/g)) {
        count += 1;
        const [path = "", anchor] = href.split("#");
        const target = path === "" ? url : path;
        if (anchor === undefined) expect((await here.api.inject({ url: target })).statusCode).toBe(200);
        else expect([href, ids.get(target)?.includes(anchor)]).toEqual([href, true]);
      }
    }
    expect(count).toBeGreaterThan(300);
  });

  it("shows every operation, and every code at the place that `type` names", async () => {
    const docs = (await page("/docs")).body;
    expect(idsIn(docs)).toEqual(expect.arrayContaining(OPERATIONS.map(({ id }) => id)));
    const errors = idsIn((await page("/docs/errors")).body);
    for (const code of Object.keys(CODES)) {
      const [path, anchor] = typeOf(code as ErrorCode).split("#");
      expect([path, errors.includes(anchor ?? "")]).toEqual(["/docs/errors", true]);
    }
  });
});

describe("for a terminal", () => {
  it.each(["/docs", "/docs/errors"])("%s is Markdown", async (url) => {
    const { body, headers } = await here.api.inject({ url, headers: { accept: "*/*" } });
    expect(headers).toMatchObject({ "content-type": "text/markdown; charset=utf-8", vary: "accept" });
    expect(body).toMatch(/^# gyre: /);
    expect(body).not.toContain("undefined");
    expect(body).not.toContain("[object");
  });

  it("every operation has its heading, its parameters and its codes", async () => {
    const { body } = await here.api.inject({ url: "/docs" });
    for (const { method, path } of OPERATIONS) expect(body).toContain(`### ${method} ${path}\n`);
    expect(body).toContain("| limit | query | whole number from 1 to 1000, 100 when left out |");
    expect(body).toContain("- 503 `overloaded`, `quorum_not_met`, `not_ready`, `stale`, `shutting_down`");
    expect(body).toContain("Refused with 400: `idempotency-key`");
  });
});

describe("texts in a page", () => {
  it("are escaped, whatever they are", () => {
    expect(html`<p title="${'"'}">${"<script>&"}</p>`.text).toBe('<p title="&quot;">&lt;script&gt;&amp;</p>');
    expect(prose("a `<b>`\n\n- one\n- `two`").text).toBe(
      "<p>a <code>&lt;b&gt;</code></p><ul><li>one</li><li><code>two</code></li></ul>",
    );
  });
});
