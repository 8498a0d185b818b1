/**
 * What end-to-end tests say to a node over HTTP, and what it answers, in few words. Must never
 * ask again but where a node refused for want of time, and nothing was applied: a test wants the first answer.
 */

/** for how long a refusal for want of time is no answer */
const BUSY_MS = 60_000;

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

/** One request, asked again while a machine that others use has no time for it. Rejects when no answer comes at all. */
export async function ask(url: string, what: Ask = {}): Promise<Answer> {
  const endsAt = performance.now() + BUSY_MS;
  for (;;) {
    const answer = await askOnce(url, what);
    if (answer.body["code"] !== "overloaded" || performance.now() > endsAt) return answer;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function askOnce(url: string, what: Ask): Promise<Answer> {
  const response = await fetch(url, {
    method: what.method ?? "GET",
    ...(what.body === undefined ? {} : { body: what.body }),
    headers: { ...(what.body === undefined ? {} : { "content-type": "application/json" }), ...what.headers },
    signal: AbortSignal.timeout(35_000),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, body: parseBody(text) };
}

/** One request, asked once: for load, which counts what is refused. An answer that never came is undefined. */
export function tryAsk(url: string, what: Ask = {}): Promise<Answer | undefined> {
  return askOnce(url, what).catch(() => undefined);
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
