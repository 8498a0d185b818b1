/** What nodes say that they have begun, read from their metrics. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { type Begun, begunBetween, begunBy, begunCount, withinMs } from "./begun.ts";

const NAME = "gyre_http_request_duration_seconds";

function metrics(gets: readonly number[], puts: number): string {
  const of = (method: string, status: string): string =>
    `{method="${method}",route="/v1/kv/:bucket/*",status="${status}"`;
  return [
    `${NAME}_bucket${of("GET", "2xx")},le="0.049152"} ${gets[0]}`,
    `${NAME}_bucket${of("GET", "2xx")},le="0.786432"} ${gets[1]}`,
    `${NAME}_bucket${of("GET", "2xx")},le="+Inf"} ${gets[2]}`,
    `${NAME}_count${of("GET", "2xx")}} ${gets[2]}`,
    `${NAME}_bucket${of("PUT", "aborted")},le="0.049152"} 0`,
    `${NAME}_bucket${of("PUT", "aborted")},le="0.786432"} ${puts}`,
    `${NAME}_bucket${of("PUT", "aborted")},le="+Inf"} ${puts}`,
    `${NAME}_count${of("PUT", "aborted")}} ${puts}`,
    `${NAME}_bucket{method="GET",route="/readyz",status="2xx",le="+Inf"} 1000`,
    `${NAME}_count{method="GET",route="/readyz",status="2xx"} 1000`,
  ].join("\n");
}

test("requests of keys of all nodes are counted by what became of them and by how long they took, between two looks", async () => {
  let text = metrics([5, 5, 5], 1);
  const server = createServer((_request, response) => response.end(text));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const before = await begunBy([url, url]);
    text = metrics([5 + 90, 5 + 98, 5 + 99], 1 + 1);
    const begun = begunBetween(before, await begunBy([url, url]));
    expect([...begun.byStatus]).toEqual([
      ["2xx", 198],
      ["aborted", 2],
    ]);
    expect([begunCount(begun), withinMs(begun, 0.9), withinMs(begun, 0.91), withinMs(begun, 0.99)]).toEqual([
      200, 49.152, 786.432, 786.432,
    ]);
    expect(withinMs(begun, 0.999)).toBe(Number.POSITIVE_INFINITY);
    expect(withinMs(begunBetween(before, before), 0.99)).toBeNaN();
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

test("a node that counts anew is told, though another has counted more, or it itself of something else", () => {
  const of = (counts: Readonly<Record<string, number>>): Begun => ({
    byStatus: new Map(Object.entries(counts)),
    byMs: new Map(),
  });
  const before = [of({ "2xx": 1_000, "5xx": 40 }), of({ "2xx": 1_000 })];
  const other = of({ "2xx": 9_000 });
  expect(() => begunBetween(before, [of({ "2xx": 900, "5xx": 40 }), other])).toThrow("a node counts anew: 2xx -100");
  expect(() => begunBetween(before, [of({ "2xx": 1_200, "5xx": 3 }), other])).toThrow("a node counts anew: 5xx -37");
  expect(() => begunBetween(before, [of({ "2xx": 1_200 }), other])).toThrow("a node counts anew: 5xx -40");
  expect(begunCount(begunBetween(before, [of({ "2xx": 1_001, "4xx": 1, "5xx": 40 }), other]))).toBe(8_002);
});
