/**
 * One life in which everybody who works behind the scenes has something to do: each of them asks this node's own calm how much it
 * may, and whether requests are being turned away. Who is handed a share that says always 1 asks nobody.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { AdmissionLimits } from "../../../services/calm/admission-limits-core.ts";
import { GovernorCore } from "../../../services/calm/governor-core.ts";
import { watchAskers } from "../../support/share-askers.ts";
import { play, type Stage } from "../scenario-stage.ts";
import type { SimClient } from "../sim-client.ts";
import { keyName } from "../sim-values.ts";

const KEYS = 24;
/** Until gossip holds a node for dead. */
const UNHEARD_MS = 8_000;
const HOUR_MS = 3_600_000;

const SHARE_ASKERS = [
  ["handing off", "the credit of who hands hints in", "services/handoff/hint-intake.ts"],
  ["handing off", "delivery", "services/handoff/delivery-run.ts"],
  ["moving", "the donor's pages", "services/repair/transfer-donor.ts"],
  ["healing", "the rest after an exchange", "services/repair/anti-entropy-lane.ts"],
  ["healing", "the pages of an exchange", "services/repair/exchange-answers.ts"],
  ["healing", "the pages that are taken in", "services/repair/pull-pace.ts"],
  ["collecting", "the rest after a step", "services/repair/collect-timers.ts"],
  ["read repair", "the rest after a repair", "services/repair/read-repair.ts"],
] as const;
const HEDGES = "services/coordinator/replica-ranking-core.ts";
const MAX_READ_ROUNDS = 50;

const share = watchAskers(GovernorCore, "share");
const shedding = watchAskers(AdmissionLimits, "isShedding");

async function each(on: Stage, client: SimClient, kind: "put" | "delete" | "read"): Promise<void> {
  for (let at = 0; at < KEYS; at += 1) {
    const [door, key] = [on.anyDoor(), keyName(at)];
    if (door === undefined) continue;
    if (kind === "read") await client.read(door, key);
    else await client.write(door, key, { kind, basis: client.seen(key) ?? "blind-overwrite" });
  }
}

async function everybodyHasWork(on: Stage): Promise<void> {
  const client = on.client({ sloppy: true });
  await each(on, client, "put");
  // hints for who is away, and reads that meet it before they have come
  on.cluster.end(2, { kind: "kill" });
  await on.sleep(UNHEARD_MS);
  await each(on, client, "put");
  await on.allServe();
  await each(on, client, "read");
  // what nobody keeps a hint of
  on.cluster.takeSnapshot(1);
  await each(on, client, "put");
  on.cluster.end(1, { kind: "rollback" });
  await on.allServe();
  await each(on, client, "delete");
  const files = SHARE_ASKERS.map(([, , file]) => file);
  await on.until(() => files.every((file) => share.files.has(file)), HOUR_MS);
  // until one is slow
  for (let round = 0; round < MAX_READ_ROUNDS && !shedding.files.has(HEDGES); round += 1)
    await each(on, client, "read");
}

beforeAll(async () => {
  // the fourth joins, and slots move to it
  await play({ seed: "one budget", memberCount: 4, keyCount: KEYS }, everybodyHasWork);
});

afterAll(() => {
  share[Symbol.dispose]();
  shedding[Symbol.dispose]();
});

test.each(SHARE_ASKERS)("%s asks for the node's share of background work: %s", (_room, _what, file) => {
  expect([...share.files]).toContain(file);
});

test("the coordinator asks whether the node turns requests away before it hedges", () => {
  expect([...shedding.files]).toContain(HEDGES);
});
