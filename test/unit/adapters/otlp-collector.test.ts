/** What is posted to a collector of traces, and what its answers mean. */
import { describe, expect, test } from "vitest";
import { createOtlpCollector } from "../../../services/adapters/otlp-collector.ts";
import { LoopbackCollector } from "../../support/trace-collector.ts";

describe("a collector over HTTP", () => {
  const body = "{}";

  test("is posted to at its path, with its headers, as JSON", async () => {
    await using there = await LoopbackCollector.start();
    const otlp = createOtlpCollector({
      url: `${there.url}/otlp/v1/traces?a=b`,
      headers: { authorization: "Bearer x" },
    });
    expect(await otlp.send(body, 2_000)).toEqual({ kind: "taken" });
    otlp.close();
    expect(there.posted).toMatchObject([{ method: "POST", path: "/otlp/v1/traces?a=b", text: body }]);
    expect(there.posted[0]?.headers).toMatchObject({ authorization: "Bearer x", "content-type": "application/json" });
  });

  test("is believed by its status alone, and never followed elsewhere", async () => {
    await using there = await LoopbackCollector.start();
    const otlp = createOtlpCollector({ url: `${there.url}/v1/traces`, headers: {} });
    const words: unknown[] = [];
    for (const status of [200, 202, 307, 400, 401, 429, 502, 503, 504]) {
      there.status = status;
      words.push([status, (await otlp.send(body, 2_000)).kind]);
    }
    otlp.close();
    expect(words).toEqual([
      [200, "taken"],
      [202, "taken"],
      [307, "refused"],
      [400, "refused"],
      [401, "refused"],
      [429, "later"],
      [502, "later"],
      [503, "later"],
      [504, "later"],
    ]);
    expect(there.posted.every(({ path }) => path === "/v1/traces")).toBe(true);
  });

  test("that is silent, gone or closed is a word for later, never an error", async () => {
    await using there = await LoopbackCollector.start();
    there.status = 0;
    const otlp = createOtlpCollector({ url: there.url, headers: {} });
    expect(await otlp.send(body, 50)).toMatchObject({ kind: "later" });
    const cut = otlp.send(body, 60_000);
    otlp.close();
    expect(await cut).toMatchObject({ kind: "later" });
    const nobody = createOtlpCollector({ url: "http://127.0.0.1:9", headers: {} });
    expect(await nobody.send(body, 2_000)).toMatchObject({ kind: "later" });
    nobody.close();
  });
});
