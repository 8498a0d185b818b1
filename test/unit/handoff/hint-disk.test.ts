/** The hint store on a disk that is full, fails, or loses power: nothing is called kept that is not, nothing is half kept. */
import { describe, expect, test } from "vitest";
import type { Minted } from "../../../services/replica/contract.ts";
import { HandoffRig, type RigNode } from "../../support/handoff-rig.ts";

const WHOLE_WAY_MS = 120_000;

interface Scene {
  readonly rig: HandoffRig;
  readonly away: RigNode;
  readonly keeper: RigNode;
  readonly minted: readonly Minted[];
}

/** Versions for slot 1 whose holder is away, and the node that shall keep them. */
async function scene(count: number): Promise<Scene> {
  const rig = await HandoffRig.started({ isOnDisk: true });
  const first = rig.nth(7, 0);
  const away = rig.holderOf(first, 1);
  const [keeper] = rig.fallbacksOf(first);
  if (keeper === undefined) throw new Error("no fallback");
  rig.crash(away);
  const minted: Minted[] = [];
  for (let n = 0; n < count; n += 1) minted.push(await rig.during(rig.write(rig.nth(7, n), 0, "x".repeat(400))));
  return { rig, away, keeper, minted };
}

async function keep({ rig, keeper, minted }: Scene, n: number): Promise<string> {
  const version = minted[n];
  if (version === undefined) throw new Error(`there is no version ${n}`);
  const result = await rig.during(rig.life(keeper).handoff.fallback.store(rig.nth(7, n), 1, version));
  return result.kind === "refused" ? result.reason : result.kind;
}

describe("a stand-in", () => {
  test("whose power goes right after its word has what it said that it keeps", async () => {
    const here = await scene(30);
    const { rig, keeper, away } = here;
    for (let n = 0; n < 30; n += 1) {
      expect(await keep(here, n)).toBe("stored");
      if (n % 5 !== 0) continue;
      rig.crash(keeper);
      await rig.start(keeper);
      await rig.pass(10);
      expect(rig.keptCount()).toBe(n + 1);
    }
    rig.crash(keeper);
    await rig.start(away);
    await rig.start(keeper);
    expect(await rig.until(() => rig.life(away).engine.keyCountOf(7) === 30, WHOLE_WAY_MS)).toBe(true);
    expect(await rig.until(() => rig.keptCount() === 0, WHOLE_WAY_MS)).toBe(true);
  });

  test("without room refuses without a trace, delivers what it has, and takes more once there is room", async () => {
    const here = await scene(130);
    const { rig, keeper, away } = here;
    const free = keeper.disks.sim.inject({ on: ["write"], code: "ENOSPC", afterBytes: 50_000, path: "hints" });
    const results: string[] = [];
    for (let n = 0; n < 120; n += 1) results.push(await keep(here, n));
    const storedCount = results.filter((result) => result === "stored").length;
    expect(storedCount).toBeGreaterThan(2);
    expect(storedCount).toBeLessThan(110);
    expect(new Set(results)).toEqual(new Set(["stored", "disk_full"]));
    expect(rig.keptCount()).toBe(storedCount);
    await rig.start(away);
    expect(await rig.until(() => rig.life(away).engine.keyCountOf(7) === storedCount, WHOLE_WAY_MS)).toBe(true);
    // nothing can be taken out without room for the mark: that waits, and nothing comes twice of it
    free();
    expect(await rig.until(() => rig.keptCount() === 0, WHOLE_WAY_MS)).toBe(true);
    expect(await keep(here, 125)).toBe("stored");
    expect(rig.life(keeper).hints.failure).toBeUndefined();
  });

  test("whose disk fails says so for good: the process has to end, and what was kept is there again", async () => {
    const here = await scene(12);
    const { rig, keeper } = here;
    for (let n = 0; n < 6; n += 1) expect(await keep(here, n)).toBe("stored");
    const failures: Error[] = [];
    rig.life(keeper).hints.onFailure((error) => failures.push(error));
    const heal = keeper.disks.sim.inject({ on: ["write", "fdatasync"], code: "EIO", path: "hints", times: 1 });
    expect(["failed", "shutting_down"]).toContain(await keep(here, 6));
    expect(failures).toHaveLength(1);
    expect(await keep(here, 7)).not.toBe("stored");
    heal();
    rig.crash(keeper);
    await rig.start(keeper);
    await rig.pass(10);
    expect(rig.keptCount()).toBeGreaterThanOrEqual(6);
  });
});
