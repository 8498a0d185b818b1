/** Who comes in: the bounds of the node, and the part of them that one key may have. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Admission } from "../../../services/api/admission.ts";
import type { WorkClass } from "../../../services/api/exchange.ts";
import { FrontGate } from "../../../services/api/front-gate.ts";
import { crowdPlaceOf, KeyCrowd } from "../../../services/api/key-crowd.ts";
import { QuickRefusal } from "../../../services/api/quick-refusal.ts";
import { MAX_INFLIGHT_BYTES } from "../../../services/base/limits.ts";

interface Rig {
  readonly gate: FrontGate;
  readonly admission: Admission;
  /** Lets a request in, if it may. */
  enter(target: string): boolean;
}

function gateOf(limit: number): Rig {
  const admission = new Admission();
  const quiet = (): void => undefined;
  const calm = { limitOf: () => limit, reasonOf: () => "busy", answered: quiet, follow: quiet };
  const gate = new FrontGate(admission, calm);
  const enter = (target: string): boolean => {
    if (gate.reasonNow("write", target) !== undefined) return false;
    gate.crowd.enter(crowdPlaceOf(target));
    return admission.tryEnter("write", 0, limit);
  };
  return { gate, admission, enter };
}

describe("the gate", () => {
  it("lets one key have a part of the node, and others the rest", () => {
    const { gate, enter } = gateOf(64);
    const hot = Array.from({ length: 640 }, () => enter("/v1/kv/b/hot"));
    // alone it may have half: there is room for all
    expect(hot.filter(Boolean)).toHaveLength(32);
    expect(gate.reasonNow("write", "/v1/kv/b/hot?w=1")).toEqual({
      kind: "key",
      words: "this node has all the requests of this key that it takes at a time",
    });
    const others = Array.from({ length: 64 }, (_, n) => enter(`/v1/kv/b/key-${n}`));
    expect(others.filter(Boolean)).toHaveLength(32);
    expect(gate.reasonNow("write", "/v1/kv/b/another")).toEqual({ kind: "node", words: "busy" });
  });

  it("has room until half of what may be under way is, and makes nobody wait where nothing is let in", () => {
    const { gate, enter } = gateOf(64);
    expect(gate.roomFor("write")).toBe(32);
    for (let n = 0; n < 40; n += 1) enter(`/v1/kv/b/key-${n}`);
    expect([gate.roomFor("write"), gate.roomFor("read")]).toEqual([-8, 32]);
    expect(gateOf(0).gate.roomFor("write")).toBe(Number.POSITIVE_INFINITY);
  });

  it("has no room for a class that all others together keep out", () => {
    const { gate, admission } = gateOf(64);
    admission.tryEnter("list", MAX_INFLIGHT_BYTES / 2);
    expect(gate.roomFor("read")).toBe(32);
    admission.tryEnter("write", MAX_INFLIGHT_BYTES / 2);
    expect([gate.roomFor("read"), gate.roomFor("write")]).toEqual([0, 0]);
  });

  it("refuses no key while there is room for all", () => {
    const { enter } = gateOf(1_024);
    expect(Array.from({ length: 512 }, () => enter("/v1/kv/b/hot")).every(Boolean)).toBe(true);
    expect(enter("/v1/kv/b/hot")).toBe(false);
    expect(enter("/v1/kv/b/other")).toBe(true);
  });
});

describe("the crowd at a key", () => {
  it("is empty when all have left, whoever they were", () => {
    fc.assert(
      fc.property(fc.array(fc.webPath(), { maxLength: 100 }), (targets) => {
        const crowd = new KeyCrowd();
        const places = targets.map((target) => crowdPlaceOf(`/v1/kv/b${target}`));
        for (const place of places) crowd.enter(place);
        for (const place of places) crowd.leave(place);
        expect(places.every((place) => !crowd.isFull(place, 16, 16))).toBe(true);
        expect(() => crowd.leave(places[0] ?? 0)).toThrow("leaves once");
      }),
    );
  });

  it("tells keys apart, and not what follows a question mark", () => {
    const places = new Set(Array.from({ length: 2_000 }, (_, n) => crowdPlaceOf(`/v1/kv/bucket/key-${n}`)));
    expect(places.size).toBeGreaterThan(800);
    expect(crowdPlaceOf("/v1/kv/b/k?r=1")).toBe(crowdPlaceOf("/v1/kv/b/k"));
  });
});

describe("the quick refusal", () => {
  function refused(
    method: string,
    url: string,
  ): { readonly isAnswered: boolean; readonly asked: readonly WorkClass[] } {
    const asked: WorkClass[] = [];
    const quick = new QuickRefusal({
      reasonNow: (work) => {
        asked.push(work);
        return { kind: "node", words: "busy" };
      },
      onRefused: () => undefined,
      nextId: () => "id-1",
      chance: () => 0.99,
    });
    const written: unknown[] = [];
    const response = {
      writeHead: (status: number, headers: string[]) => void written.push(status, headers),
      end: (body: string) => void written.push(JSON.parse(body)),
    };
    const isAnswered = quick.refuse({ method, url }, response, () => false) !== undefined;
    if (isAnswered) {
      expect(written[0]).toBe(503);
      expect(written[1]).toContain("id-1");
      expect((written[1] as string[])[3]).toBe("3");
      expect(written[2]).toMatchObject({ code: "overloaded", outcome: "not_applied", retryable: true });
    }
    return { isAnswered, asked };
  }

  it.each<[string, string, WorkClass]>([
    ["GET", "/v1/kv/b/k", "read"],
    ["HEAD", "/v1/kv/b/k?r=1", "read"],
    ["PUT", "/v1/kv/b/k/with/slashes", "write"],
    ["DELETE", "/v1/kv/b/k", "write"],
  ])("answers %s %s as a %s", (method, url, work) => {
    expect(refused(method, url)).toEqual({ isAnswered: true, asked: [work] });
  });

  it.each([
    ["GET", "/v1/kv/b"],
    ["POST", "/v1/kv/b:batch"],
    ["POST", "/v1/kv/b/k"],
    ["GET", "/readyz"],
    ["GET", "/metrics"],
    ["GET", "/v1/cluster"],
    ["OPTIONS", "/v1/kv/b/k"],
  ])("leaves %s %s to the framework", (method, url) => {
    expect(refused(method, url)).toEqual({ isAnswered: false, asked: [] });
  });
});
