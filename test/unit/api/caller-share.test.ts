/** Two principals at a real listener that is full of the requests of one. */
import { afterEach, describe, expect, it } from "vitest";
import { type ApiServer, createApiServer } from "../../../services/api/server.ts";
import { QUEUE_LOOK_MS } from "../../../services/base/load-limits.ts";
import { GrantedCaller } from "../../../services/security/rights.ts";
import { TOKEN_RANDOM_BYTES, tokenOf } from "../../../services/security/token.ts";
import { TokenBook } from "../../../services/security/token-book.ts";
import { apiDependencies, FakeCoordinator } from "../../support/api-node.ts";
import { HeldClock } from "../../support/held-clock.ts";
import { seededDraws } from "../../support/seeded.ts";

const LIMIT = 16;
const NAMES = ["greedy", "modest"] as const;
type Name = (typeof NAMES)[number];

let server: ApiServer | undefined;
const clock = new HeldClock();
afterEach(async () => {
  const closed = server?.close();
  await clock.advance(1_000);
  await closed;
});

function tokenNamed(name: Name): ReturnType<typeof tokenOf> {
  return tokenOf(seededDraws(NAMES.indexOf(name) + 1).bytes(TOKEN_RANDOM_BYTES));
}

function book(): TokenBook {
  return new TokenBook(
    NAMES.map((name) => {
      const { id, sha256 } = tokenNamed(name);
      const caller = new GrantedCaller(name, [{ rights: ["read"], buckets: ["*"] }], []);
      return { id, sha256: Buffer.from(sha256, "hex"), expiresAtMs: Number.POSITIVE_INFINITY, caller };
    }),
  );
}

describe("a node that is full of the requests of one principal", () => {
  it("gives the first place that is free to another, though the first asked last", async () => {
    const [coordinator, idle] = [new FakeCoordinator(), new FakeCoordinator()];
    const begun: string[] = [];
    const held: (() => void)[] = [];
    let isHeld = true;
    coordinator.answers.get = async (request) => {
      begun.push(Buffer.from(request.name.key).toString());
      if (isHeld) await new Promise<void>((resolve) => held.push(resolve));
      return idle.get(request);
    };
    const quiet = (): void => undefined;
    const calm = { limitOf: () => LIMIT, reasonOf: () => "busy", answered: quiet, follow: quiet };
    const here = createApiServer({
      ...apiDependencies(),
      clock,
      coordinator,
      calm,
      tokens: book(),
      isMetricsOpen: true,
    });
    server = here;
    const address = await here.listen("127.0.0.1:0");
    const get = (name: Name, key: string): Promise<Response> =>
      fetch(`http://${address}/v1/kv/b/${key}`, { headers: { authorization: `Bearer ${tokenNamed(name).text}` } });
    const countOf = async (metric: string): Promise<number> =>
      Number(new RegExp(`^${metric} (\\d+)$`, "m").exec((await here.inject({ url: "/metrics" })).body)?.[1]);
    const waitingCount = (): Promise<number> => countOf("gyre_http_waiting_requests");
    // without the one that asks for that
    const underWay = async (): Promise<number> => (await countOf("gyre_http_inflight_requests")) - 1;
    const asked = Array.from({ length: LIMIT }, (_, n) => get("greedy", `g${n}`));
    await expect.poll(() => begun.length).toBe(LIMIT);
    asked.push(get("modest", "m"));
    await expect.poll(waitingCount).toBe(1);
    asked.push(get("greedy", "late"));
    await expect.poll(waitingCount).toBe(2);
    held.shift()?.();
    await expect.poll(() => begun.length).toBe(LIMIT + 1);
    expect(begun.at(-1)).toBe("m");
    // and one that comes while there is room, for others
    for (const letGo of held.splice(0, 4)) letGo();
    await expect.poll(underWay).toBe(LIMIT - 4);
    const refused = await get("greedy", "later").then((answer) => answer.json());
    expect(refused).toMatchObject({
      code: "overloaded",
      outcome: "not_applied",
      detail: expect.stringContaining("of this principal"),
    });
    isHeld = false;
    for (const letGo of held.splice(0)) letGo();
    expect((await asked[LIMIT])?.status).toBe(404);
    await expect.poll(underWay).toBe(0);
    // whoever waited longer than others is looked for again, and there is room for all
    await clock.advance(5 * QUEUE_LOOK_MS);
    expect(new Set(await Promise.all(asked.map(async (one) => (await one).status)))).toEqual(new Set([404]));
  });
});
