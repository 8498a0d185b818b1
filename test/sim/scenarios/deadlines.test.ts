/** What a whole node does, once its disk goes on, for those who have given up meanwhile: nothing. Source: reliability notes, O4. */
import { describe, expect, test } from "vitest";
import type { Knobs } from "../../../services/coordinator/contract.ts";
import type { PutRequest, StorageEngine } from "../../../storage/engine.ts";
import { WriteExpiredError } from "../../../storage/errors.ts";
import type { Disk, DiskFile } from "../../../storage/ports.ts";
import { play, type Stage } from "../scenario-stage.ts";
import { keyBytesOf, SIM_BUCKET } from "../sim-values.ts";

const STALLED_NODE = 1;
const KEYS = Array.from({ length: 150 }, (_, at) => `late-${at}`);
const KNOBS: Knobs = { sloppy: false, timeoutMs: 1_000, explain: false };
const SEGMENTS = "segments/";
const DRIFT_MS = 50;

type Work = "read" | "write";

/** A disk whose segments stand still for one kind of work while it is told so, and that counts the bytes of each. */
class StallingDisk {
  readonly bytes: Record<Work, number> = { read: 0, write: 0 };
  stalls: Work | undefined;
  #waiting: (() => void)[] = [];

  goOn(): void {
    this.stalls = undefined;
    for (const resume of this.#waiting.splice(0)) resume();
  }

  over(disk: Disk): Disk {
    return new Proxy(disk, {
      get: (target, name) => {
        if (name === "open") {
          return async (path: string, mode: Parameters<Disk["open"]>[1]): Promise<DiskFile> => {
            const file = await target.open(path, mode);
            return path.startsWith(SEGMENTS) ? this.#over(file) : file;
          };
        }
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  }

  #over(file: DiskFile): DiskFile {
    return {
      // what is believed to be in memory is not: a real one would stall the loop here
      readSync: (into, position) => this.#counted("read", file.readSync(into, position)),
      read: async (into, position) => {
        const isHeld = this.stalls === "read";
        await this.#passed("read");
        const count = await file.read(into, position);
        return isHeld ? count : this.#counted("read", count);
      },
      write: async (buffers, position) => {
        const isHeld = this.stalls === "write";
        await this.#passed("write");
        const count = await file.write(buffers, position);
        return isHeld ? count : this.#counted("write", count);
      },
      fdatasync: () => file.fdatasync(),
      truncate: (sizeBytes) => file.truncate(sizeBytes),
      size: () => file.size(),
      close: () => file.close(),
    };
  }

  #counted(work: Work, count: number): number {
    this.bytes[work] += count;
    return count;
  }

  async #passed(work: Work): Promise<void> {
    if (this.stalls === work) await new Promise<void>((resume) => this.#waiting.push(resume));
  }
}

/** Puts that were wanted by a certain time, at the stalled node: those that the store did after it, and those that it gave up. */
interface LatePuts {
  begunCount: number;
  keptLateCount: number;
  givenUpCount: number;
}

/** Follows the puts of one engine. */
function followed(engine: StorageEngine, puts: LatePuts, nowMs: () => number): StorageEngine {
  const put = async (request: PutRequest): Promise<void> => {
    puts.begunCount += 1;
    try {
      await engine.put(request);
    } catch (error) {
      if (error instanceof WriteExpiredError) puts.givenUpCount += 1;
      throw error;
    }
    // the clock of a node that was started with the world goes as the world's, but for its drift
    if (request.byMs !== undefined && nowMs() > request.byMs + DRIFT_MS) puts.keptLateCount += 1;
  };
  return new Proxy(engine, {
    get: (target, name) => {
      if (name === "put") return put;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

async function write(on: Stage, node: number, key: string): Promise<string> {
  const name = { bucket: SIM_BUCKET, key: keyBytesOf(key) };
  const put = { name, knobs: KNOBS, contentType: "text/plain", bytes: Buffer.from(key), context: undefined };
  return (await on.node(node).coordinator.put(put)).kind;
}

/** A world of which one node has that disk. */
function readingShape(seed: string, disk: StallingDisk) {
  const sabotage = { disk: (made: Disk, node: number) => (node === STALLED_NODE ? disk.over(made) : made) };
  return { seed, keyCount: 0, sabotage };
}

/** All keys are written, and nothing of them is believed to be in that node's memory. */
async function restartedWithKeys(on: Stage): Promise<void> {
  await Promise.all(KEYS.map((key) => write(on, 0, key)));
  on.cluster.end(STALLED_NODE, { kind: "kill" });
  await on.allServe();
  await on.settled();
  await on.sleep(5_000);
}

describe("a node whose disk stood still", () => {
  test("writes nothing more for coordinators that have given up: not one of the stores that waited in its queues", async () => {
    const disk = new StallingDisk();
    const puts: LatePuts = { begunCount: 0, keptLateCount: 0, givenUpCount: 0 };
    let stageOf: Stage | undefined;
    const shape = {
      seed: "O4-writes",
      keyCount: 0,
      onStage: (on: Stage) => {
        stageOf = on;
      },
      sabotage: {
        disk: (made: Disk, node: number) => (node === STALLED_NODE ? disk.over(made) : made),
        engine: (engine: StorageEngine, node: number) =>
          node === STALLED_NODE ? followed(engine, puts, () => stageOf?.nowMs ?? 0) : engine,
      },
    };
    const { told } = await play(shape, async (on) => {
      // until every node has heard above what it may mint
      await on.sleep(5_000);
      disk.stalls = "write";
      const begunBefore = puts.begunCount;
      const first = write(on, 0, "the-first");
      await on.until(() => puts.begunCount > begunBefore, 1_000);
      await on.sleep(50);
      const writes = [await first];
      // not all at once, which would keep the others' small segments busy for longer than that
      for (const key of KEYS) writes.push(await write(on, 0, key));
      await on.sleep(2 * KNOBS.timeoutMs);
      disk.goOn();
      await on.sleep(1_000);
      await on.finish();
      return { writes, ...puts };
    });
    expect(told.writes.filter((kind) => kind === "applied")).toHaveLength(KEYS.length + 1);
    // one may have been on its way to the disk when that stood still
    expect(told.keptLateCount).toBeLessThanOrEqual(1);
    // after a second of silence the node is passed over: until then it was told of every write
    expect(told.givenUpCount).toBeGreaterThan(KEYS.length / 4);
  });

  test("reads nothing more for those who have given up: not one of the reads that waited for their turn", async () => {
    const disk = new StallingDisk();
    const { told } = await play(readingShape("O4-reads", disk), async (on) => {
      await restartedWithKeys(on);
      disk.stalls = "read";
      const gets = KEYS.map((key) =>
        on.node(STALLED_NODE).coordinator.get({
          name: { bucket: SIM_BUCKET, key: keyBytesOf(key) },
          knobs: { ...KNOBS, r: 1 },
        }),
      );
      const answers = await Promise.all(gets);
      await on.sleep(2 * KNOBS.timeoutMs);
      disk.bytes.read = 0;
      disk.goOn();
      await on.sleep(200);
      return { readBytes: disk.bytes.read, failed: answers.filter(({ kind }) => kind === "failed").length };
    });
    expect(told.failed).toBeGreaterThan(10);
    expect(told.readBytes).toBe(0);
  });

  test("reads nothing more for clients that have gone, and reads that nobody else is at are over within a tenth of a second (O5)", async () => {
    const disk = new StallingDisk();
    const { told } = await play(readingShape("O5-reads", disk), async (on) => {
      await restartedWithKeys(on);
      disk.stalls = "read";
      const leaving: (() => void)[] = [];
      const answered = { count: 0 };
      for (const key of KEYS) {
        const name = { bucket: SIM_BUCKET, key: keyBytesOf(key) };
        const asker = { whenGone: (run: () => void): void => void leaving.push(run) };
        const knobs = { ...KNOBS, r: 1, timeoutMs: 20_000 };
        void on
          .node(STALLED_NODE)
          .coordinator.get({ name, knobs, asker })
          .then(() => (answered.count += 1));
      }
      await on.sleep(500);
      const before = answered.count;
      for (const leave of leaving.splice(0)) leave();
      await on.sleep(100);
      const after = answered.count;
      disk.bytes.read = 0;
      disk.goOn();
      await on.sleep(200);
      return { readBytes: disk.bytes.read, before, after };
    });
    expect(told.before).toBeLessThan(KEYS.length - 10);
    expect([told.after, told.readBytes]).toEqual([KEYS.length, 0]);
  });
});
