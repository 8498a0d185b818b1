/** What a node tells of anti-entropy, as its operators read it: the number that an alert waits for, and the pair by name. */
import { describe, expect, it } from "vitest";
import { isoTime } from "../../../services/api/iso-time.ts";
import { MetricsRegistry } from "../../../services/base/metrics.ts";
import { antiEntropyDocument, registerAntiEntropy } from "../../../services/node/repair-metrics.ts";
import type { AntiEntropy } from "../../../services/repair/anti-entropy.ts";
import { HealingRig, RIG_PARTITIONS, type RigNode } from "../../support/healing-rig.ts";
import { documentText, members, SchemaChecks } from "../../support/openapi-document.ts";

/** GyreRepairLate fires above that, k8s/components/monitoring/prometheus-rule.yaml. */
const ALERT_SECONDS = 7_200;
const STARTED_MS = 1_700_000_000_000;

function first(rig: HealingRig): RigNode {
  const [node] = rig.nodes;
  if (node === undefined) throw new Error("a node");
  return node;
}

/** The gauge of the longest unverified pair, in seconds, as it is scraped. */
function scraped(healing: AntiEntropy): number {
  const metrics = new MetricsRegistry();
  registerAntiEntropy(metrics, () => healing.status());
  const [, value] = /^gyre_anti_entropy_oldest_verified_seconds (\S+)$/m.exec(metrics.render()) ?? [];
  return Number(value);
}

function told(rig: HealingRig): Record<string, unknown> {
  return antiEntropyDocument(first(rig).healing.status(), STARTED_MS + rig.scheduler.nowMs);
}

describe("a node that compares with nobody after its start", () => {
  it("shows it to the alert after two hours, and names a pair without a time", async () => {
    const rig = new HealingRig();
    for (const other of rig.nodes.slice(1)) other.isAlive = false;
    first(rig).healing.start();
    await rig.pass(7_100_000);
    expect(scraped(first(rig).healing)).toBeLessThan(ALERT_SECONDS);
    await rig.pass(110_000);
    expect(scraped(first(rig).healing)).toBeGreaterThan(ALERT_SECONDS);
    const pairs = 2 * RIG_PARTITIONS;
    const oldestUnverified = { partition: 0, peer: "n2", lastVerifiedAt: null };
    expect(told(rig)).toMatchObject({ pairs, neverVerified: pairs, oldestUnverified });
  });
});

describe("the section antiEntropy", () => {
  it("names the pair with the holder that has gone, with when it was compared last, by the wall clock", async () => {
    const rig = new HealingRig();
    rig.start();
    expect(await rig.repairAll()).toBe(true);
    const goneMs = rig.scheduler.nowMs;
    for (const node of rig.nodes.slice(2)) node.isAlive = false;
    await rig.pass(3_600_000);
    const { oldestVerifiedAgeMs, oldestUnverified } = told(rig);
    expect(oldestUnverified).toMatchObject({ peer: "n3" });
    const at = String(members(oldestUnverified)["lastVerifiedAt"]);
    expect(at).toBe(isoTime(STARTED_MS + rig.scheduler.nowMs - Number(oldestVerifiedAgeMs)));
    expect(at <= isoTime(STARTED_MS + goneMs)).toBe(true);
    expect(oldestVerifiedAgeMs).toBeGreaterThanOrEqual(3_600_000);
  });

  it("names none where nobody else holds anything", async () => {
    const rig = new HealingRig({ nodeCount: 1 });
    rig.start();
    await rig.pass(10_000);
    expect(told(rig)).toMatchObject({ pairs: 0, neverVerified: 0, oldestVerifiedAgeMs: null, oldestUnverified: null });
    expect(scraped(first(rig).healing)).toBe(0);
  });

  it("is as the OpenAPI document has it, before the first comparison, after it, and without pairs", async () => {
    const checks = new SchemaChecks(members(JSON.parse(await documentText())), true);
    const schema = { $ref: "#/components/schemas/Cluster/properties/details" };
    const flaw = (antiEntropy: unknown): string | undefined => checks.flaw(schema, { antiEntropy });
    const rig = new HealingRig();
    rig.start();
    await rig.pass(2_000);
    const early = told(rig);
    expect(await rig.repairAll()).toBe(true);
    expect([early, told(rig), told(new HealingRig({ nodeCount: 1 }))].map(flaw)).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    expect(flaw({ ...early, oldestUnverified: { partition: 1 } })).toMatch(/peer/);
  });
});
