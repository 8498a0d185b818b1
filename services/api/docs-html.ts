/** The documentation for browsers: every operation, every schema, every error on pages without a script. Pure. */
import type { ErrorCode } from "../base/errors.ts";
import { accessText, curlLine, descriptionOf, membersOf, nestedIn, retryText, typeWords } from "./docs-words.ts";
import type { Route } from "./exchange.ts";
import { type Html, html, inline, pageOf, prose } from "./html-page.ts";
import { ABOUT, type Documented, documentedIn, headerNameOf, SCHEMAS, shownPathOf, TAGS } from "./openapi.ts";
import { codesOf, statusesAt } from "./openapi-codes.ts";
import type { Operation } from "./openapi-operation.ts";
import { ALL_CODES, PROBLEM_RULES, problemName, statusesOf } from "./openapi-problems.ts";
import { type Schema, schemaOfRule } from "./openapi-schema.ts";
import { CODES } from "./problem.ts";

/** The page of /docs. */
export function docsPage(routes: readonly Route[]): string {
  const all = documentedIn(routes);
  const tags = Object.entries(TAGS).map(([tag, words]) => {
    const ours = all.filter(({ operation }) => operation.tag === tag);
    return { tag, words, ours };
  });
  const contents = tags.map(
    ({ tag, ours }) =>
      html`<p><strong>${tag}</strong></p><ul>${ours.map(({ operation }) => html`<li><a href="#${operation.id}"><code>${nameOf(operation)}</code></a></li>`)}</ul>`,
  );
  const sections = tags.map(
    ({ tag, words, ours }) => html`<section><h2>${tag}</h2><p>${words}</p>${ours.map(operationSection)}</section>`,
  );
  const named = Object.entries(SCHEMAS).filter(([name]) => !PROBLEMS.has(name));
  const body = html`<h1>gyre: the client API</h1>${prose(ABOUT)}
<p><a href="/">start</a> · <a href="/docs/errors">errors</a> · <a href="/openapi.json">openapi.json</a> (OpenAPI 3.1)</p>
<nav aria-label="Operations">${contents}</nav>${sections}
<section><h2>Schemas</h2>${named.map(([name, schema]) => schemaSection(name, schema))}</section>`;
  return pageOf("gyre: the client API", body);
}

const PROBLEMS: ReadonlySet<string> = new Set(ALL_CODES.map(problemName));

/** The page of /docs/errors: what `type` in a problem document points to. */
export function errorsPage(routes: readonly Route[]): string {
  const all = documentedIn(routes);
  const list = ALL_CODES.map((code) => html`<li><a href="#${code}"><code>${code}</code></a></li>`);
  const body = html`<h1>What errors mean</h1><p>Every error is a problem document (RFC 9457) with these codes.</p>
<p><a href="/">start</a> · <a href="/docs">all operations</a></p><nav aria-label="Codes"><ul>${list}</ul></nav>
${ALL_CODES.map((code) => errorSection(code, all))}`;
  return pageOf("gyre: errors", body);
}

function nameOf(operation: Operation): string {
  return `${operation.method} ${shownPathOf(operation)}`;
}

function operationSection({ operation, route }: Documented): Html {
  const { id, description = "", refusedHeaders = [], body, answers } = operation;
  const refused = refusedHeaders.map(([, words]) => html`<li>${words}.</li>`);
  const bodies = (body?.content ?? []).map(({ mediaType, schema, example }) => contentItem(mediaType, schema, example));
  return html`<section id="${id}" aria-labelledby="${id}-name"><h3 id="${id}-name"><code>${nameOf(operation)}</code></h3>
<p>${inline(route.summary)}</p>${prose(description)}<p class="dim">${accessText(route.access)}</p>
<pre tabindex="0">${curlLine(operation, shownPathOf(operation))}</pre>
${parametersTable(operation)}
${refused.length === 0 ? "" : html`<h4>Refused with 400</h4><ul>${refused}</ul>`}
${bodies.length === 0 ? "" : html`<h4>Body</h4><dl>${bodies}</dl>`}
<h4>Answers</h4><dl>${answers.map(answerItem)}</dl>${codesTable({ operation, route })}</section>`;
}

function answerItem({ status, meaning, headers = [], content = [] }: Operation["answers"][number]): Html {
  const shown =
    headers.length === 0 ? "" : html`<p class="dim">With headers: ${headers.map(headerNameOf).join(", ")}.</p>`;
  return html`<dt>${status}</dt><dd>${inline(meaning)}${shown}<dl>${content.map(({ mediaType, schema, example }) => contentItem(mediaType, schema, example))}</dl></dd>`;
}

function contentItem(mediaType: string, schema: Schema, example: unknown): Html {
  const shown = example === undefined ? "" : html`<pre tabindex="0">${exampleText(example)}</pre>`;
  return html`<dt><code>${mediaType}</code></dt><dd>${typeHtml(schema)}${shown}</dd>`;
}

function exampleText(example: unknown): string {
  return typeof example === "string" ? example : JSON.stringify(example, null, 2);
}

function parametersTable({ query, headers = [] }: Operation): Html | string {
  if (query.length + headers.length === 0) return "";
  const rows = [
    ...query.map(({ name, rule, meaning }) => row(name, "query", schemaOfRule(rule), meaning)),
    ...headers.map(({ name, schema, meaning }) => row(name, "header", schema, meaning)),
  ];
  return html`<div class="wide"><table><caption class="dim">Parameters</caption>
<tr><th scope="col">name</th><th scope="col">in</th><th scope="col">may be</th><th scope="col">meaning</th></tr>${rows}</table></div>`;
}

function row(name: string, where: string, schema: Schema, meaning: string): Html {
  return html`<tr><th scope="row"><code>${name}</code></th><td>${where}</td><td>${typeHtml(schema)}</td><td>${inline(meaning)}</td></tr>`;
}

function codesTable({ operation, route }: Documented): Html {
  const rows = codesOf(route, operation).map((code) => {
    const statuses = statusesAt(route, code).join(", ");
    return html`<tr><td>${statuses}</td><th scope="row"><a href="/docs/errors#${code}"><code>${code}</code></a></th><td>${CODES[code].title}</td></tr>`;
  });
  return html`<details><summary>Errors (${rows.length})</summary><div class="wide"><table>
<tr><th scope="col">status</th><th scope="col">code</th><th scope="col">title</th></tr>${rows}</table></div></details>`;
}

function errorSection(code: ErrorCode, all: readonly Documented[]): Html {
  const { outcomes, isRetryable, always = {}, sometimes = {} } = PROBLEM_RULES[code];
  const { title, meaning } = CODES[code];
  const facts = Object.entries({ ...always, ...sometimes }).map(
    ([name, schema]) =>
      html`<tr><th scope="row"><code>${name}</code></th><td>${typeHtml(schema)}</td><td>${descriptionOf(schema)}${name in always ? "" : " Not always there."}</td></tr>`,
  );
  const givers = all.filter(({ operation, route }) => codesOf(route, operation).includes(code));
  const by = givers.map(
    ({ operation }) => html`<li><a href="/docs#${operation.id}"><code>${nameOf(operation)}</code></a></li>`,
  );
  return html`<section id="${code}" aria-labelledby="${code}-name"><h2 id="${code}-name"><code>${code}</code> · ${statusesOf(code).join(", ")}</h2>
<p><strong>${title}.</strong> ${inline(meaning)}</p>
<p>Outcome: ${outcomes.map((outcome, index) => html`${index === 0 ? "" : " or "}<code>${outcome}</code>`)}. ${inline(retryText(isRetryable))}</p>
${facts.length === 0 ? "" : html`<div class="wide"><table><caption class="dim">Facts that it carries</caption>${facts}</table></div>`}
${by.length === 0 ? html`<p class="dim">Any path.</p>` : html`<details><summary>Given by ${by.length} operations</summary><ul>${by}</ul></details>`}</section>`;
}

function schemaSection(name: string, schema: Schema): Html {
  const nested = nestedIn(schema);
  return html`<section id="schema-${name}"><h3><code>${name}</code></h3>${prose(descriptionOf(schema))}
${nested.length === 0 ? html`<p>${typeHtml(schema)}</p>` : nested.map(membersList)}</section>`;
}

function membersList(schema: Schema): Html {
  const items = membersOf(schema).map(({ name, schema: one, isRequired }) => {
    const deeper = nestedIn(one).map(membersList);
    return html`<dt><code>${name}</code>${isRequired ? "" : html` <span class="dim">optional</span>`}</dt><dd>${typeHtml(one)}${descriptionOf(one) === "" ? "" : html`. ${inline(descriptionOf(one))}`}${deeper}</dd>`;
  });
  return html`<dl>${items}</dl>`;
}

function typeHtml(schema: Schema): Html {
  const words = typeWords(schema).map((word) =>
    typeof word === "string" ? html`${word}` : html`<a href="/docs#schema-${word.schema}">${word.schema}</a>`,
  );
  return html`${words}`;
}
