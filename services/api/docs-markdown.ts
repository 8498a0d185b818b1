/** The documentation as Markdown, for terminals. Pure. */
import type { ErrorCode } from "../base/errors.ts";
import { accessText, curlLine, retryText, typeText } from "./docs-words.ts";
import type { Route } from "./exchange.ts";
import { ABOUT, type Documented, documentedIn, shownPathOf, TAGS } from "./openapi.ts";
import { codesByStatus } from "./openapi-codes.ts";
import type { Operation } from "./openapi-operation.ts";
import { ALL_CODES, PROBLEM_RULES, statusesOf } from "./openapi-problems.ts";
import { type Schema, schemaOfRule } from "./openapi-schema.ts";
import { CODES } from "./problem.ts";

/** The text of /docs. */
export function docsText(routes: readonly Route[]): string {
  const all = documentedIn(routes);
  const tags = Object.entries(TAGS).map(([tag, words]) => {
    const ours = all.filter(({ operation }) => operation.tag === tag);
    return `## ${tag}\n\n${words}\n\n${ours.map(operationText).join("\n")}`;
  });
  const links =
    "For programs: /openapi.json (OpenAPI 3.1). Errors: /docs/errors. In a browser this page links schemas, too.";
  return `# gyre: the client API\n\n${ABOUT}\n\n${links}\n\n${tags.join("\n")}`;
}

/** The text of /docs/errors. */
export function errorsText(): string {
  return `# gyre: what errors mean\n\nEvery error is a problem document (RFC 9457) with these codes.\n\n${ALL_CODES.map(errorText).join("\n")}`;
}

function operationText({ operation, route }: Documented): string {
  const { description, body, answers, refusedHeaders = [] } = operation;
  const parts = [
    `### ${operation.method} ${shownPathOf(operation)}`,
    [route.summary, description].filter((words) => words !== undefined).join(" "),
    accessText(route.access),
    `    ${curlLine(operation, shownPathOf(operation))}`,
    parametersText(operation),
    refusedHeaders.length === 0 ? "" : `Refused with 400: ${refusedHeaders.map(([name]) => `\`${name}\``).join(", ")}.`,
    body === undefined ? "" : `Body: ${body.content.map(contentText).join("; ")}.`,
    [...answers.map(answerText), ...codeLines({ operation, route })].join("\n"),
  ];
  return `${parts.filter((part) => part !== "").join("\n\n")}\n`;
}

function contentText({ mediaType, schema }: { readonly mediaType: string; readonly schema: Schema }): string {
  return `\`${mediaType}\` (${typeText(schema)})`;
}

function answerText({ status, meaning, content = [] }: Operation["answers"][number]): string {
  return `- ${status} ${meaning}${content.length === 0 ? "" : ` ${content.map(contentText).join("; ")}`}`;
}

function codeLines({ operation, route }: Documented): readonly string[] {
  return codesByStatus(route, operation).map(
    ([status, codes]) => `- ${status} ${codes.map((code) => `\`${code}\``).join(", ")}`,
  );
}

function parametersText({ query, headers = [] }: Operation): string {
  const rows = [
    ...query.map(({ name, rule, meaning }) => [name, "query", typeText(schemaOfRule(rule)), meaning]),
    ...headers.map(({ name, schema, meaning }) => [name, "header", typeText(schema), meaning]),
  ];
  if (rows.length === 0) return "";
  const lines = rows.map((row) => `| ${row.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`);
  return ["| parameter | in | may be | meaning |", "|---|---|---|---|", ...lines].join("\n");
}

function errorText(code: ErrorCode): string {
  const { outcomes, isRetryable, always = {}, sometimes = {} } = PROBLEM_RULES[code];
  const { meaning } = CODES[code];
  const facts = Object.keys({ ...always, ...sometimes });
  const carried = facts.length === 0 ? "" : `\nFacts: ${facts.map((name) => `\`${name}\``).join(", ")}.`;
  return `## ${code}\n\n${statusesOf(code).join(", ")}. ${meaning}\n\nOutcome: ${outcomes.join(" or ")}. ${retryText(isRetryable)}${carried}\n`;
}
