/** Which traces requests belong to, and where they go, by what a node was told. */
import { describe, expect, test } from "vitest";
import { readConfig } from "../../../services/base/config.ts";
import type { FileText } from "../../../services/base/setting-sources.ts";
import { parseTraceId, parseTraceparent } from "../../../services/base/trace.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT = "00f067aa0ba902b7";

describe("traceparent", () => {
  test.each([
    [`00-${TRACE}-${PARENT}-01`, true],
    [`00-${TRACE}-${PARENT}-00`, false],
    [`00-${TRACE}-${PARENT}-03`, true],
    [`00-${TRACE}-${PARENT}-fe`, false],
    [`cc-${TRACE}-${PARENT}-01`, true],
    [`cc-${TRACE}-${PARENT}-01-what-comes-later`, true],
  ])("%s names a trace; sampled: %s", (header, isSampled) => {
    expect(parseTraceparent(header)).toEqual({ traceId: TRACE, parentId: PARENT, isSampled });
  });

  test.each([
    [""],
    [TRACE],
    [`00-${TRACE}-${PARENT}`],
    [`00-${TRACE}-${PARENT}-1`],
    [`00-${TRACE}-${PARENT}-01-more`],
    [`ff-${TRACE}-${PARENT}-01`],
    [`00-${TRACE.toUpperCase()}-${PARENT}-01`],
    [`00-${"0".repeat(32)}-${PARENT}-01`],
    [`00-${TRACE}-${"0".repeat(16)}-01`],
    [`00-${TRACE}-${PARENT}-01\n`],
    [` 00-${TRACE}-${PARENT}-01`],
  ])("%j breaks the standard, and names none", (header) => {
    expect(parseTraceparent(header)).toBeUndefined();
  });

  test("that is missing or comes twice names none", () => {
    expect(parseTraceparent(undefined)).toBeUndefined();
    expect(parseTraceparent([`00-${TRACE}-${PARENT}-01`])).toBeUndefined();
  });

  test("has an id of 32 small hex digits, not all 0", () => {
    expect([TRACE, `${TRACE}0`, "0".repeat(32), ""].map(parseTraceId)).toEqual([
      TRACE,
      undefined,
      undefined,
      undefined,
    ]);
  });
});

describe("a collector", () => {
  const SECRET_LINE = "authorization: Bearer not-to-be-shown";

  function read(env: Readonly<Record<string, string>>, file: FileText = { kind: "text", text: SECRET_LINE }) {
    return readConfig({ argv: [], env: { GYRE_NODE_ID: "n1", ...env }, readText: () => file, hostname: "host" });
  }

  function problemsOf(env: Readonly<Record<string, string>>, file?: FileText): readonly string[] {
    const result = read(env, file);
    return result.kind === "problems" ? result.problems : [];
  }

  test("is none unless one is named", () => {
    expect(read({})).toMatchObject({ kind: "config", config: { otlp: undefined } });
  });

  test("is one address, with OTLP's path where it has none", () => {
    for (const [text, url] of [
      ["http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"],
      ["https://collector.example/otlp/traces?team=a", "https://collector.example/otlp/traces?team=a"],
    ] as const) {
      expect(read({ GYRE_OTLP_URL: text })).toMatchObject({ config: { otlp: { url, headers: {} } }, warnings: [] });
    }
  });

  test.each([
    "127.0.0.1:4318",
    "file:///etc/passwd",
    "ftp://host/",
    "http://",
    "https://user:pass@host/",
    "http://h/#x",
  ])("is not %s", (text) => {
    expect(problemsOf({ GYRE_OTLP_URL: text })).toEqual([expect.stringContaining("GYRE_OTLP_URL=")]);
  });

  test("gets the headers of a file, which nobody is shown", () => {
    const text = `${SECRET_LINE}\r\n\nX-Team : a b \n`;
    const env = { GYRE_OTLP_URL: "https://c.example", GYRE_OTLP_HEADERS_FILE: "/h" };
    const result = read(env, { kind: "text", text });
    const headers = { authorization: "Bearer not-to-be-shown", "x-team": "a b" };
    expect(result).toMatchObject({ config: { otlp: { headers } }, warnings: [] });
    expect(JSON.stringify(result.kind === "config" ? result.settings : "")).not.toContain("not-to-be-shown");
  });

  test("is not told of credentials in the clear without a warning, but on this machine", () => {
    const warned = (url: string) => read({ GYRE_OTLP_URL: url, GYRE_OTLP_HEADERS_FILE: "/h" });
    expect(warned("http://c.example")).toMatchObject({ warnings: [expect.stringContaining("is not https")] });
    for (const url of ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1"]) {
      expect(warned(url)).toMatchObject({ warnings: [] });
    }
  });

  test("with a file of headers that is wrong keeps a node from starting, in words without what the file holds", () => {
    const env = { GYRE_OTLP_URL: "http://127.0.0.1:1", GYRE_OTLP_HEADERS_FILE: "/h" };
    const text = "authorization Bearer not-to-be-shown\nHost: not-to-be-shown\nx: a\u0007b";
    const problems = problemsOf(env, { kind: "text", text });
    expect(problems).toEqual([
      "GYRE_OTLP_HEADERS_FILE=/h: line 1 is no header: write `name: value`",
      "GYRE_OTLP_HEADERS_FILE=/h: line 2 sets host, which the message itself says",
      "GYRE_OTLP_HEADERS_FILE=/h: line 3 is no header: write `name: value`",
    ]);
    expect(problemsOf(env, { kind: "unreadable", reason: "no such file" })).toHaveLength(1);
    expect(problemsOf({ GYRE_OTLP_HEADERS_FILE: "/h" })).toEqual([
      "GYRE_OTLP_HEADERS_FILE: is of use only with GYRE_OTLP_URL",
    ]);
  });
});
