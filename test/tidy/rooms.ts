/**
 * The rooms of the house as data: what each may import, which of its files are pure, and where its packages enter.
 * The tidy test reads this table; a file in no room fails it. Longer paths win over shorter ones.
 */

/** One room: a folder or a single file, and what it may import. */
export interface Room {
  /** from the root, `/` between; a folder, or one file */
  readonly path: string;
  /** other rooms, by path; its own files are always allowed */
  readonly mayImport: readonly string[] | "everything";
  /** packages and `node:` modules; a package has one door, given below */
  readonly packages: readonly string[] | "everything";
  /** every file here decides and never does: no `async`, no ports */
  readonly isPure: boolean;
  /** may read the clock, chance, the environment, the disk and the network without a port */
  readonly isAmbient: boolean;
}

interface RoomRow {
  readonly imports?: readonly string[] | "everything";
  readonly packages?: readonly string[] | "everything";
  readonly isPure?: boolean;
  readonly isAmbient?: boolean;
}

/** Calculation only: allowed in every room. */
const CALCULATION = ["node:assert", "node:assert/strict", "node:buffer"];
const BASE = "services/base";
const VERSIONING = "services/versioning";
const PLACEMENT = "services/placement";
const REPLICA = "services/replica";
const PEERS = "services/peers";
const COORDINATOR = "services/coordinator";
const SECURITY = "services/security";

const TABLE: Readonly<Record<string, RoomRow>> = {
  "gossip/core": { isPure: true, packages: ["node:crypto", "node:zlib"] },
  gossip: { imports: ["gossip/core"], packages: ["node:crypto"] },
  "storage/format": { isPure: true, packages: ["node:crypto", "node:zlib"] },
  storage: { imports: ["storage/format"], packages: ["node:zlib"] },
  [BASE]: { packages: ["xxhash-wasm"] },
  [SECURITY]: { imports: [BASE], packages: ["node:crypto"] },
  [VERSIONING]: { isPure: true, imports: [BASE], packages: ["node:crypto"] },
  [PLACEMENT]: { isPure: true, imports: [BASE], packages: ["hashring"] },
  [PEERS]: { imports: [BASE, VERSIONING], packages: ["@msgpack/msgpack", "node:crypto"] },
  [REPLICA]: { imports: [BASE, VERSIONING, "storage"] },
  [COORDINATOR]: { imports: [BASE, VERSIONING, PLACEMENT, REPLICA, PEERS] },
  "services/cluster": { imports: [BASE, PLACEMENT, PEERS, "gossip"] },
  "services/repair": { imports: [BASE, VERSIONING, PLACEMENT, REPLICA, PEERS, "storage", "gossip"] },
  "services/handoff": { imports: [BASE, VERSIONING, PLACEMENT, REPLICA, PEERS, "storage"] },
  "services/calm": { imports: [BASE, COORDINATOR] },
  "services/tracing": { imports: [BASE] },
  "services/api": { imports: [BASE, VERSIONING, COORDINATOR, SECURITY], packages: ["fastify"] },
  "services/adapters": { imports: [BASE, SECURITY, "gossip", "storage"], packages: "everything", isAmbient: true },
  "services/client": { packages: "everything", isAmbient: true },
  "services/cli": { imports: [BASE, SECURITY, "services/client"], packages: "everything", isAmbient: true },
  "services/node": { imports: "everything", packages: ["node:crypto"] },
  "services/node/server-process.ts": { imports: "everything", packages: ["node:path"], isAmbient: true },
  "services/main.ts": { imports: "everything", packages: "everything", isAmbient: true },
  "loadtest/bench/engine-bench.ts": {
    imports: ["storage", "services/adapters", BASE],
    packages: "everything",
    isAmbient: true,
  },
  loadtest: { packages: "everything", isAmbient: true },
  test: { imports: "everything", packages: "everything", isAmbient: true },
  "vitest.config.ts": { imports: ["test"], packages: "everything", isAmbient: true },
};

/** All rooms, the longest path first, so that the first that fits is the right one. */
export const ROOMS: readonly Room[] = Object.entries(TABLE)
  .map(([path, row]) => ({
    path,
    mayImport: row.imports ?? [],
    packages: row.packages === "everything" ? row.packages : [...CALCULATION, ...(row.packages ?? [])],
    isPure: row.isPure ?? false,
    isAmbient: row.isAmbient ?? false,
  }))
  .toSorted((a, b) => b.path.length - a.path.length);

/** The one file outside `test` and `loadtest` that may name a package. */
export const PACKAGE_DOORS: Readonly<Record<string, string>> = {
  "@msgpack/msgpack": "services/peers/",
  fastify: "services/api/",
  hashring: "services/placement/",
  pino: "services/adapters/",
  "pino-pretty": "services/adapters/",
  undici: "services/adapters/",
  "xxhash-wasm": "services/base/hash.ts",
  yaml: "services/cli/manifests/yaml-text.ts",
};

/** The only files that pass on what other files export. */
export const BARRELS: readonly string[] = ["gossip/index.ts", "storage/index.ts"];

/** The only file with a default export: its tool reads it. */
export const DEFAULT_EXPORTS: readonly string[] = ["vitest.config.ts"];

/** The room of a file, or undefined when the house has no room for it. */
export function roomOf(file: string): Room | undefined {
  return ROOMS.find((room) => file === room.path || file.startsWith(`${room.path}/`));
}

/** True for files that only decide: all of a pure room, and `…-core.ts` anywhere. */
export function isPureFile(file: string): boolean {
  return roomOf(file)?.isPure === true || file.endsWith("-core.ts");
}
