/** Why requests are shed: which name each hindrance is counted by, and what the counters hold. */
import { describe, expect, it, test } from "vitest";
import { Admission } from "../../../services/api/admission.ts";
import { NO_CALLER } from "../../../services/api/caller-crowd.ts";
import type { WorkClass } from "../../../services/api/exchange.ts";
import {
  CROWDED,
  CROWDED_CALLER,
  FrontGate,
  FULL_OF_BYTES,
  NO_MEMORY,
  NOBODYS,
  PUSHED_OUT,
  type ShedReason,
  WAITED,
} from "../../../services/api/front-gate.ts";
import type { LoadControl } from "../../../services/api/ports.ts";
import { type ListenerCounters, listenerCounters } from "../../../services/api/request-metrics.ts";
import { MAX_INFLIGHT_BYTES, MAX_INFLIGHT_REQUESTS } from "../../../services/base/limits.ts";
import { MetricsRegistry } from "../../../services/base/metrics.ts";

const CLASSES: readonly WorkClass[] = ["control", "write", "read", "list"];
// every member of the union, or this does not compile
const EVERY: Readonly<Record<ShedReason, true>> = {
  bytes: true,
  requests: true,
  limit: true,
  memory: true,
  event_loop: true,
  hot_key: true,
  principal: true,
  waited: true,
  crowded_out: true,
  behind: true,
};
const SERIES = /^gyre_http_shed_requests_total\{class="(\w+)",reason="(\w+)"\} (\d+)$/gm;

interface Rig {
  readonly shed: ListenerCounters["shed"];
  /** the counts as they are shown, by class and reason */
  shown(): ReadonlyMap<string, number>;
}

function rig(): Rig {
  const metrics = new MetricsRegistry();
  const { shed } = listenerCounters(metrics, { requests: 0, bytes: 0 }, () => 0);
  const shown = (): ReadonlyMap<string, number> =>
    new Map(
      [...metrics.render().matchAll(SERIES)].map(([, work, reason, count]) => [`${work} ${reason}`, Number(count)]),
    );
  return { shed, shown };
}

describe("what was shed", () => {
  it("has a series for each class and reason from the start", () => {
    const names = CLASSES.flatMap((work) => Object.keys(EVERY).map((reason) => `${work} ${reason}`));
    expect(rig().shown()).toEqual(new Map(names.map((name) => [name, 0])));
  });

  it("is counted under its class and reason, once", () => {
    const { shed, shown } = rig();
    let count = 0;
    for (const name of shown().keys()) {
      const [work, reason] = name.split(" ") as [WorkClass, ShedReason];
      count += 1;
      for (let n = 0; n < count; n += 1) shed.note(work, { kind: "node", reason });
      expect(shown().get(name)).toBe(count);
    }
    const total = [...shown().values()].reduce((sum, one) => sum + one, 0);
    expect(total).toBe((count * (count + 1)) / 2);
    expect(CLASSES.reduce((sum, work) => sum + shed.shortOf(work), 0)).toBe(total);
  });

  it("counts as want of room but for what a request was itself", () => {
    const { shed } = rig();
    for (const why of [CROWDED, CROWDED_CALLER, NO_MEMORY, WAITED, PUSHED_OUT, FULL_OF_BYTES]) shed.note("write", why);
    expect([shed.shortOf("write"), shed.shortOf("read")]).toEqual([3, 0]);
  });
});

describe("the gate names", () => {
  const quiet = (): void => undefined;
  const calmOf = (parts: Partial<LoadControl>): LoadControl => ({
    ...{ limitOf: () => 8, reasonOf: () => "busy", answered: quiet, follow: quiet },
    ...parts,
  });
  const gateOf = (calm: LoadControl | undefined, admission: Admission): FrontGate =>
    new FrontGate(admission, { ...(calm && { calm }), clock: { monotonicMs: () => 0, wallMicros: () => 0 } });
  const full = (work: WorkClass, count: number): Admission => {
    const admission = new Admission();
    for (let n = 0; n < count; n += 1) admission.tryEnter(work, 0);
    return admission;
  };

  test.each(["limit", "memory", "event_loop"] as const)("what calm says keeps a class down: %s", (cause) => {
    const gate = gateOf(calmOf({ causeOf: (work) => (work === "read" ? cause : "limit") }), full("read", 8));
    expect(gate.reasonNow("read", NOBODYS, 0)).toEqual({ kind: "node", reason: cause, words: "busy" });
  });

  it("the limit where calm says no more than words", () => {
    expect(gateOf(calmOf({}), full("read", 8)).reasonNow("read", NOBODYS, 0)?.reason).toBe("limit");
  });

  it("the fixed bounds: requests, and bytes", () => {
    const many = gateOf(undefined, full("write", MAX_INFLIGHT_REQUESTS));
    expect(many.reasonNow("write", NOBODYS, 0)?.reason).toBe("requests");
    const heavy = new Admission();
    heavy.tryEnter("write", MAX_INFLIGHT_BYTES);
    expect(gateOf(undefined, heavy).reasonNow("write", NOBODYS, 1)?.reason).toBe("bytes");
  });

  it("memory, of what brings a value while there is none", () => {
    const gate = gateOf(calmOf({ takesValues: () => false }), new Admission());
    expect(gate.reasonNow("write", { ...NOBODYS, bringsValue: true }, 0)?.reason).toBe("memory");
  });

  it("the key of which enough are under way, and the principal that has enough", () => {
    const hot = { ...NOBODYS, target: "/v1/kv/b/hot" };
    expect(NOBODYS.caller).toBe(NO_CALLER);
    const gate = gateOf(calmOf({}), full("read", 4));
    gate.crowd.isFull = () => true;
    expect(gate.reasonNow("read", hot, 0)?.reason).toBe("hot_key");
    gate.crowd.isFull = () => false;
    gate.callers.read.isFull = () => true;
    expect(gate.reasonNow("read", { ...hot, caller: 1 }, 0)?.reason).toBe("principal");
  });

  it("what became of one that waited", () => {
    expect([WAITED.reason, PUSHED_OUT.reason]).toEqual(["waited", "crowded_out"]);
  });
});
