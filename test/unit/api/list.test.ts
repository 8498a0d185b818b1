/** GET /v1/kv/{bucket}: pages of keys with an opaque cursor. */
import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import { decodeCursor, encodeCursor } from "../../../services/api/cursor.ts";
import { type ApiNode, apiNode, bucket } from "../../support/api-node.ts";

let here: ApiNode;
beforeEach(() => {
  here = apiNode();
});

const listing = (name: string, prefix = ""): Parameters<typeof encodeCursor>[0] => ({
  bucket: bucket(name),
  prefix: Buffer.from(prefix),
});

describe("a listing", () => {
  it("asks for 100 keys from the start without a prefix, and says when it is complete", async () => {
    here.coordinator.answers.list = () => ({
      kind: "page",
      keys: [Buffer.from("a"), Buffer.from('ü"')],
      next: undefined,
    });
    const reply = await here.api.inject({ url: "/v1/kv/b" });
    expect(reply.json()).toEqual({ bucket: "b", keys: ["a", 'ü"'], complete: true });
    expect(here.coordinator.lists[0]).toMatchObject({ bucket: "b", limit: 100, from: 0n, timeoutMs: 2_000 });
    expect(here.coordinator.lists[0]?.prefix).toHaveLength(0);
  });

  it("goes on where its cursor says", async () => {
    here.coordinator.answers.list = (request) => ({
      kind: "page",
      keys: [],
      next: request.from === 0n ? 2n ** 64n - 1n : undefined,
    });
    const first = (await here.api.inject({ url: "/v1/kv/b?limit=1000&prefix=a%2Fb+%2B&timeout=9" })).json();
    expect(first.complete).toBe(false);
    const second = await here.api.inject({ url: `/v1/kv/b?prefix=a%2Fb+%2B&cursor=${first.cursor}` });
    expect(second.json().complete).toBe(true);
    const [one, two] = here.coordinator.lists;
    expect([one?.limit, one?.timeoutMs, Buffer.from(one?.prefix ?? "").toString()]).toEqual([1_000, 9, "a/b +"]);
    expect(two?.from).toBe(2n ** 64n - 1n);
  });

  it.each([
    "limit=0",
    "limit=1001",
    "limit=ten",
    "timeout=0",
    `prefix=${"a".repeat(1_025)}`,
    "cursor=",
    "cursor=AAAA",
    "r=1",
  ])("?%s is 400", async (query) => {
    const reply = await here.api.inject({ url: `/v1/kv/b?${query}` });
    expect([reply.statusCode, reply.json().code]).toEqual([400, "invalid_request"]);
    expect(here.coordinator.lists).toHaveLength(0);
  });

  it("refuses a cursor of another bucket or prefix, and any forged one", async () => {
    const cursor = encodeCursor(listing("b", "p"), 77n);
    expect((await here.api.inject({ url: `/v1/kv/b?prefix=p&cursor=${cursor}` })).statusCode).toBe(200);
    for (const url of [
      `/v1/kv/c?prefix=p&cursor=${cursor}`,
      `/v1/kv/b?cursor=${cursor}`,
      `/v1/kv/b?prefix=q&cursor=${cursor}`,
    ]) {
      const reply = await here.api.inject({ url });
      expect([reply.statusCode, reply.json().parameter]).toEqual([400, "cursor"]);
    }
  });
});

describe("a cursor", () => {
  it("carries any position back, for its own listing only", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.string({ maxLength: 20 }), (position, prefix) => {
        const cursor = encodeCursor(listing("b", prefix), position);
        expect(decodeCursor(listing("b", prefix), cursor)).toBe(position);
        expect(decodeCursor(listing("c", prefix), cursor)).toBeUndefined();
        expect(decodeCursor(listing("b", `${prefix}x`), cursor)).toBeUndefined();
      }),
    );
  });

  it("changed in any character is none", () => {
    const cursor = encodeCursor(listing("b"), 123_456_789n);
    for (let index = 0; index < cursor.length; index += 1) {
      const other = cursor[index] === "A" ? "B" : "A";
      expect(decodeCursor(listing("b"), cursor.slice(0, index) + other + cursor.slice(index + 1))).toBeUndefined();
    }
    for (const text of [`${cursor}=`, `${cursor}A`, cursor.slice(1), ` ${cursor}`, cursor.toLowerCase()]) {
      expect(decodeCursor(listing("b"), text)).toBeUndefined();
    }
  });
});
