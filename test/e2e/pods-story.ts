/**
 * `npm run accept:pods`: the life of an installation, as docs/KUBERNETES.md walks through it, with the manifests' own pods as processes, TLS everywhere:
 * install, upgrade, scale up, scale down, up again with an old disk, a lost disk. Every acknowledged write is read after each step.
 */
import assert from "node:assert/strict";
import { until } from "./cluster.ts";
import type { Pods } from "./pods.ts";
import {
  clusterAt,
  expectAll,
  fill,
  growWhileCutOff,
  install,
  type MemberFacts,
  scale,
  untilWhole,
} from "./pods-steps.ts";

/** What stands for minReadySeconds: hints are delivered within it. */
const MIN_READY_MS = 3_000;
const LOST_DISK_MS = 240_000;
let step = 0;

async function told(what: string, run: () => Promise<unknown>): Promise<void> {
  const startedAt = performance.now();
  await run();
  step += 1;
  process.stdout.write(`${step}. ${what}: ok, ${((performance.now() - startedAt) / 1_000).toFixed(1)} s\n`);
}

async function scaled(pods: Pods, words: readonly string[]): Promise<void> {
  const { code, out, err } = await scale(pods, words);
  process.stdout.write(`   $ gyre scale ${words.join(" ")}\n${`${out}${err}`.replace(/^/gm, "   | ").trimEnd()}\n`);
  assert.equal(code, 0);
  await untilWhole(pods);
}

/** Each pod is away for a while and comes back at another address; the others go on meanwhile. */
async function upgrade(pods: Pods): Promise<void> {
  const before = new Set(pods.urls);
  let version = 0;
  await pods.rollOut(MIN_READY_MS, async () => {
    version += 1;
    await fill(pods, `upgrade-${version}`);
  });
  await untilWhole(pods);
  await expectAll(pods, `upgrade-${version}`);
  assert.ok(
    pods.urls.every((url) => !before.has(url)),
    "every pod has a new address",
  );
}

async function memberAt(pods: Pods, ordinal: number): Promise<MemberFacts> {
  const member = (await clusterAt(pods, 0)).members.find(({ node }) => node === `gyre-${ordinal}`);
  assert.ok(member !== undefined, `gyre-${ordinal} is no member`);
  return member;
}

/** The pod comes back under its name with an empty disk, and takes its own place. */
async function loseDisk(pods: Pods, ordinal: number): Promise<void> {
  const before = await memberAt(pods, ordinal);
  await pods.loseDisk(ordinal);
  await fill(pods, "without a disk");
  pods.start(ordinal);
  await until(`gyre-${ordinal} ready`, () => pods.isReady(ordinal), LOST_DISK_MS);
  await untilWhole(pods, LOST_DISK_MS);
  await expectAll(pods, "without a disk");
  const now = await memberAt(pods, ordinal);
  assert.notEqual(now.memberKey, before.memberKey, "it is another life of the same name");
}

// Fewer partitions than usual: what moves is the same, and there are fewer hand-overs to wait for.
await using pods = await install({ settings: { GYRE_PARTITIONS: "128" } }, ["tls"]);
await told("installed: three pods, one cluster", () => untilWhole(pods));
await fill(pods, "first");
await told("upgraded, one pod after the other, each at a new address", () => upgrade(pods));
await told("three more started while the members cannot be reached: no second cluster", () =>
  growWhileCutOff(pods, 6, 5_000),
);
await fill(pods, "six");
await told("scaled down", () => scaled(pods, ["--to", "3", "--yes"]));
await told("read again", () => expectAll(pods, "six"));
await told("scaled up, with the disks that were kept", () => scaled(pods, ["--to", "5", "--yes"]));
await fill(pods, "five");
await told("a disk lost", () => loseDisk(pods, 1));
process.stdout.write("every acknowledged write was read after every step\n");
