/**
 * TableKeeper: the table of believed holders, made anew when records change. Records come by the dozen while slots move, and
 * a table costs milliseconds of a large ring: so changes wait for each other, the longer the larger the ring is.
 */
import type { Clock, Timer } from "../base/ports.ts";
import { buildHolderTable, type HolderTable } from "../placement/holder-table.ts";
import type { RecordSet } from "../placement/record-set.ts";
import { TargetTables } from "../placement/target-table.ts";

/** How soon after a change of records the table follows, in a small ring. */
const REBUILD_MS = 20;
/** One table costs about 1 ms for so many members × partitions. */
const CELLS_PER_MS = 7_000;
/** Tables take at most this part of the time. */
const IDLE_RATIO = 20;

/** What the keeper works with. */
export interface TableKeeperParts {
  readonly set: RecordSet;
  readonly replicaCount: number;
  readonly clock: Clock;
  /** The table is new. */
  readonly onTable: (table: HolderTable) => void;
}

/** The table of one set; the first is made at once. */
export class TableKeeper {
  readonly #parts: TableKeeperParts;
  readonly #targets: TargetTables;
  #table: HolderTable;
  #timer: Timer | undefined;
  #isStopped = false;

  constructor(parts: TableKeeperParts) {
    this.#parts = parts;
    this.#targets = new TargetTables(parts.replicaCount);
    this.#table = this.#made();
  }

  get table(): HolderTable {
    return this.#table;
  }

  /** The set has changed. `isUrgent`: the table is new when this returns; else soon. */
  changed(isUrgent: boolean): void {
    if (this.#isStopped) return;
    if (isUrgent) this.#rebuild();
    else this.#timer ??= this.#parts.clock.setTimer(this.#pauseMs(), () => this.#rebuild());
  }

  /** Makes no more tables. */
  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  #pauseMs(): number {
    const cells = this.#table.all.length * this.#table.partitionCount;
    return Math.max(REBUILD_MS, Math.ceil((cells / CELLS_PER_MS) * IDLE_RATIO));
  }

  #rebuild(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#table = this.#made();
    this.#parts.onTable(this.#table);
  }

  #made(): HolderTable {
    const { set } = this.#parts;
    return buildHolderTable(set, this.#targets.of(set));
  }
}
