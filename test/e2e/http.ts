/** What end-to-end tests say to a node over HTTP, and what it answers, in few words. Must never retry: a test wants the first answer. */

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** the parsed body, when it is JSON */
  readonly body: Readonly<Record<string, unknown>>;
}

export interface Ask {
  readonly method?: "GET" | "PUT" | "DELETE" | "POST";
  readonly body?: string | Uint8Array<ArrayBuffer>;
  readonly headers?: Readonly<Record<string, string>>;
}

/** One request. Rejects when no answer comes at all. */
export async function ask(url: string, what: Ask = {}): Promise<Answer> {
  const response = await fetch(url, {
    method: what.method ?? "GET",
    ...(what.body === undefined ? {} : { body: what.body }),
    headers: { ...(what.body === undefined ? {} : { "content-type": "application/json" }), ...what.headers },
    signal: AbortSignal.timeout(35_000),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, body: parseBody(text) };
}

/** Like `ask`, but an answer that never came is undefined. */
export function tryAsk(url: string, what: Ask = {}): Promise<Answer | undefined> {
  return ask(url, what).catch(() => undefined);
}

/** Writes a JSON value. */
export function putJson(url: string, value: unknown, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
  return ask(url, { method: "PUT", body: JSON.stringify(value), headers });
}

/** The values that an answered GET shows, sorted, whether one or several. */
export function valuesOf(answer: Answer): readonly string[] {
  const siblings = answer.body["siblings"];
  const values = Array.isArray(siblings)
    ? siblings.map((one: { readonly value: unknown }) => one.value)
    : [answer.body["value"]];
  return values.map((value) => JSON.stringify(value)).toSorted();
}

function parseBody(text: string): Readonly<Record<string, unknown>> {
  try {
    return JSON.parse(text) as Readonly<Record<string, unknown>>;
  } catch {
    return {};
  }
}
