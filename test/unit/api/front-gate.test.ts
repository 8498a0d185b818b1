/** Who comes in: the bounds of the node, and the part of them that one key may have. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Admission } from "../../../services/api/admission.ts";
import { FrontGate, NOBODYS, type Whose } from "../../../services/api/front-gate.ts";
import { crowdPlaceOf, KeyCrowd } from "../../../services/api/key-crowd.ts";
import { keyWorkOf, QuickRefusal } from "../../../services/api/quick-refusal.ts";
import { MAX_INFLIGHT_BYTES } from "../../../services/base/limits.ts";

interface Rig {
  readonly gate: FrontGate;
  readonly admission: Admission;
  /** Lets a request in, if it may. */
  enter(target: string): boolean;
}

const CLOCK = { monotonicMs: () => 0, wallMicros: () => 0 };
const of = (target: string): Whose => ({ ...NOBODYS, target });

function gateOf(limit: number): Rig {
  const admission = new Admission();
  const quiet = (): void => undefined;
  const calm = { limitOf: () => limit, reasonOf: () => "busy", answered: quiet, follow: quiet };
  const clock = CLOCK;
  const gate = new FrontGate(admission, { calm, clock });
  const enter = (target: string): boolean => {
    if (gate.reasonNow("write", of(target), 0) !== undefined) return false;
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
    expect(gate.reasonNow("write", of("/v1/kv/b/hot?w=1"), 0)).toEqual({
      kind: "own",
      reason: "hot_key",
      words: "this node has all the requests of this key that it takes at a time",
    });
    const others = Array.from({ length: 64 }, (_, n) => enter(`/v1/kv/b/key-${n}`));
    expect(others.filter(Boolean)).toHaveLength(32);
    expect(gate.reasonNow("write", of("/v1/kv/b/another"), 0)).toEqual({
      kind: "node",
      reason: "limit",
      words: "busy",
    });
  });

  it("is closed to a class of which nothing is let in, and to no other", () => {
    const { gate, enter } = gateOf(1);
    enter("/v1/kv/b/k");
    expect([gate.isOpen("write"), gate.reasonNow("write", of("/v1/kv/b/k"), 0)?.kind]).toEqual([true, "node"]);
    expect([gateOf(0).gate.isOpen("write"), new FrontGate(new Admission(), { clock: CLOCK }).isOpen("write")]).toEqual([
      false,
      true,
    ]);
  });

  it("has no room for a class that all others together keep out", () => {
    const { gate, admission } = gateOf(64);
    for (let n = 0; n < 512; n += 1) admission.tryEnter("list", 0);
    expect(gate.reasonNow("read", NOBODYS, 0)).toBeUndefined();
    for (let n = 0; n < 512; n += 1) admission.tryEnter("write", 0);
    expect([gate.reasonNow("read", NOBODYS, 0)?.kind, gate.reasonNow("write", NOBODYS, 0)?.kind]).toEqual([
      "node",
      "node",
    ]);
  });

  it("has room for what brings little where there is none for what brings much", () => {
    const { gate, admission } = gateOf(64);
    admission.tryEnter("write", MAX_INFLIGHT_BYTES - 10);
    const kinds = [10, 11].map((bytes) => gate.reasonNow("write", of("/v1/kv/b/k"), bytes)?.kind);
    // of reads' bytes there are fewer
    expect([...kinds, gate.reasonNow("read", of("/v1/kv/b/k"), 0)?.kind]).toEqual([undefined, "bytes", "bytes"]);
    admission.tryEnter("write", 10);
    expect(gate.reasonNow("write", NOBODYS, 0)?.kind).toBe("bytes");
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
  it.each([0, 0.5, 0.99])("says what is, and when to come again (chance %f)", (chance) => {
    const counted: string[] = [];
    const quick = new QuickRefusal({
      onRefused: (work) => void counted.push(work),
      nextId: () => `id-${counted.length}`,
      chance: () => chance,
    });
    const written: unknown[] = [];
    const response = {
      writeHead: (status: number, headers: string[]) => void written.push(status, headers),
      end: (body: string) => void written.push(body),
    };
    for (const [work, words] of [
      ["read", "busy"],
      ["write", "busy"],
      ["read", "late"],
    ] as const) {
      quick.answer(response, work, { kind: "node", reason: "limit", words });
    }
    expect(counted).toEqual(["read", "write", "read"]);
    for (const [index, words] of ["busy", "busy", "late"].entries()) {
      const [status, headers, body] = written.slice(3 * index, 3 * index + 3);
      expect([status, (headers as string[]).slice(2, 4)]).toEqual([
        503,
        ["retry-after", `${1 + Math.floor(chance * 3)}`],
      ]);
      expect(headers).toContain(`id-${index + 1}`);
      expect((headers as string[])[5]).toBe(`${Buffer.byteLength(String(body))}`);
      const problem: unknown = JSON.parse(String(body));
      expect(problem).toMatchObject({ code: "overloaded", outcome: "not_applied", retryable: true });
      expect(problem).toHaveProperty("detail", `${words}; try again after Retry-After, or ask another node`);
    }
  });

  it.each<[string, string, "read" | "write"]>([
    ["GET", "/v1/kv/b/k", "read"],
    ["HEAD", "/v1/kv/b/k?r=1", "read"],
    ["PUT", "/v1/kv/b/k/with/slashes", "write"],
    ["DELETE", "/v1/kv/b/k", "write"],
  ])("takes %s %s for a %s", (method, url, work) => {
    expect(keyWorkOf({ method, url })).toBe(work);
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
    expect(keyWorkOf({ method, url })).toBeUndefined();
  });
});
