import type { StorageEngine } from "../../storage/engine.ts";
import { openMemoryEngine } from "../../storage/memory-engine.ts";
import { newMemoryImage } from "../../storage/memory-image.ts";
import { seededDraws } from "../support/seeded.ts";
import { TEST_PARTITIONS } from "../support/storage-fixtures.ts";
import { storageEngineContract } from "./storage-engine.contract.ts";

storageEngineContract("memory engine", async () => {
  const image = newMemoryImage();
  const random = seededDraws(1);
  const open = (): StorageEngine => openMemoryEngine({ partitionCount: TEST_PARTITIONS, random, image });
  let engine = open();
  return {
    engine,
    async reopen(how) {
      if (how === "clean") await engine.close();
      else image.isClean = false;
      engine = open();
      return engine;
    },
    compact: async () => undefined,
    dispose: async () => undefined,
  };
});
