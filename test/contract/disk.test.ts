import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openNodeDisk } from "../../services/adapters/node-disk.ts";
import { SimDisk } from "../sim/sim-disk.ts";
import { seededDraws } from "../support/seeded.ts";
import { diskContract } from "./disk.contract.ts";

diskContract("disk on node:fs", async () => {
  const root = await mkdtemp(join(tmpdir(), "gyre-disk-"));
  return { disk: await openNodeDisk(root), dispose: () => rm(root, { recursive: true, force: true }) };
});

diskContract("simulated disk", async () => ({
  disk: new SimDisk({ random: seededDraws(1) }),
  dispose: async () => undefined,
}));
