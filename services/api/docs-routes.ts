/**
 * GET /openapi.json, GET /docs and GET /docs/errors: the API for programs, terminals and browsers, made once, when somebody first
 * asks. Must never differ between nodes of a version, and never tell anything of this cluster: these paths are open.
 */
import { docsPage, errorsPage } from "./docs-html.ts";
import { docsText, errorsText } from "./docs-markdown.ts";
import { type Handler, NO_BODY_BYTES, type Route } from "./exchange.ts";
import { textReply } from "./health-routes.ts";
import { pageReply, wantsHtml } from "./html-page.ts";
import { openApiDocument } from "./openapi.ts";
import { jsonReply } from "./reply.ts";

const MARKDOWN = "text/markdown; charset=utf-8";

/** The routes of documentation; `routes` answers every route there is, these included. */
export function docsRoutes(routes: () => readonly Route[]): readonly Route[] {
  const document = once(() => `${JSON.stringify(openApiDocument(routes()), null, 2)}\n`);
  return [
    route("/openapi.json", "The API for programs: an OpenAPI 3.1 document.", () => jsonReply(200, document())),
    route(
      "/docs",
      "Every operation, schema and parameter, for people.",
      twoForms(
        () => docsPage(routes()),
        () => docsText(routes()),
      ),
    ),
    route(
      "/docs/errors",
      "What each error code means.",
      twoForms(() => errorsPage(routes()), errorsText),
    ),
  ];
}

function route(path: string, summary: string, handle: Handler): Route {
  return {
    method: "GET",
    path,
    summary,
    access: { kind: "open" },
    work: "control",
    bodyLimitBytes: NO_BODY_BYTES,
    handle,
  };
}

function twoForms(page: () => string, text: () => string): Handler {
  const madePage = once(page);
  const madeText = once(text);
  return (request) => {
    if (wantsHtml(request)) return pageReply(madePage());
    const { headers, ...reply } = textReply(madeText(), MARKDOWN);
    return { ...reply, headers: { ...headers, vary: "accept" } };
  };
}

function once(make: () => string): () => string {
  let made: string | undefined;
  return () => {
    made ??= make();
    return made;
  };
}
