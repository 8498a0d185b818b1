/** What nodes say that they have begun, read from their metrics. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { begunBetween, begunBy, begunCount, withinMs } from "./begun.ts";

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
    const [one, other] = before;
    const [oneLater] = await begunBy([url]);
    const told = [one, oneLater, other].flatMap((of) => of ?? []);
    expect(() => begunBetween(told.slice(0, 2), told.slice(1))).toThrow("a node counts anew: -100");
  } finally {
    server.closeAllConnections();
    server.close();
  }
});
