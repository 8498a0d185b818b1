/**
 * Which calls of the simulated disk fail, and how. Rules are asked in the order they were added; each counts its own
 * matches. Must never draw chance: whoever wants random faults draws the rules.
 */
import { DiskError } from "../../storage/ports.ts";

/** The calls of the disk window; "create" is an open that creates or empties. */
export type DiskOperation =
  | "open"
  | "create"
  | "exists"
  | "list"
  | "makeDirectory"
  | "rename"
  | "unlink"
  | "fsyncDirectory"
  | "freeBytes"
  | "lock"
  | "read"
  | "readSync"
  | "write"
  | "fdatasync"
  | "truncate"
  | "size"
  | "close";

/** One way to fail. */
export interface DiskFaultRule {
  readonly on: readonly DiskOperation[];
  /** the error's code: EIO, ENOSPC, EROFS, … */
  readonly code: string;
  /** part of the path, default any path */
  readonly path?: string;
  /** lets so many matching calls pass first; default 0 */
  readonly skip?: number;
  /** fails so many calls, then no more; default all */
  readonly times?: number;
  /** writes only: lets so many bytes pass first, ending in one short write */
  readonly afterBytes?: number;
  /** writes only: fails those that are durable when they return, which is what clients wait for */
  readonly isDurable?: true;
  /** reads only: fails those that touch bytes from … to − 1 */
  readonly range?: { readonly from: number; readonly to: number };
  /** told of each call that fails by this rule, before its caller is */
  readonly onFailure?: () => void;
}

interface ActiveRule extends DiskFaultRule {
  seen: number;
  bytes: number;
}

/** The rules of one disk. */
export class FaultPlan {
  #rules: ActiveRule[] = [];

  /** Adds a rule; the function returned takes it out again. */
  add(rule: DiskFaultRule): () => void {
    const active: ActiveRule = { ...rule, seen: 0, bytes: 0 };
    this.#rules.push(active);
    return () => {
      this.#rules = this.#rules.filter((other) => other !== active);
    };
  }

  /** Throws what a rule without finer conditions says of the call. */
  check(name: DiskOperation, path: string): void {
    if (this.#rules.length === 0 || name === "fdatasync" || name === "write") return;
    for (const rule of this.#matching(name, path)) {
      if (rule.range === undefined) failIfDue(rule, name, path);
    }
  }

  /** Throws when a rule forbids these bytes of the file. */
  checkRead(name: DiskOperation, path: string, range: { readonly from: number; readonly to: number }): void {
    if (this.#rules.length === 0) return;
    for (const rule of this.#matching(name, path)) {
      const touches = rule.range === undefined ? name === "readSync" : overlaps(rule.range, range);
      if (touches) failIfDue(rule, name, path);
    }
  }

  /** Throws when a rule fails this fdatasync, after `spoil` has marked the pages clean and lost. */
  checkSync(path: string, spoil: () => void): void {
    for (const rule of this.#matching("fdatasync", path)) {
      try {
        failIfDue(rule, "fdatasync", path);
      } catch (error) {
        spoil();
        throw error;
      }
    }
  }

  /** How many bytes of a write get through; throws when none does. `spoil` is called before an EIO. */
  allowedBytes(
    { path, isDurable }: { readonly path: string; readonly isDurable: boolean },
    wanted: number,
    spoil: () => void,
  ): number {
    let allowed = wanted;
    const rules = this.#matching("write", path).filter((rule) => rule.isDurable !== true || isDurable);
    for (const rule of rules) {
      const left = rule.afterBytes === undefined ? 0 : rule.afterBytes - rule.bytes;
      if (rule.afterBytes !== undefined && left > 0) {
        allowed = Math.min(allowed, left);
        continue;
      }
      try {
        failIfDue(rule, "write", path);
      } catch (error) {
        if (rule.code === "EIO") spoil();
        throw error;
      }
    }
    for (const rule of rules) rule.bytes += allowed;
    return allowed;
  }

  #matching(name: DiskOperation, path: string): ActiveRule[] {
    return this.#rules.filter(
      (rule) => rule.on.includes(name) && (rule.path === undefined || path.includes(rule.path)),
    );
  }
}

function overlaps(a: { from: number; to: number }, b: { from: number; to: number }): boolean {
  return a.from < b.to && b.from < a.to;
}

function failIfDue(rule: ActiveRule, name: DiskOperation, path: string): void {
  rule.seen += 1;
  const skip = rule.skip ?? 0;
  if (rule.seen <= skip || rule.seen > skip + (rule.times ?? Number.POSITIVE_INFINITY)) return;
  rule.onFailure?.();
  throw new DiskError(rule.code, `${name} of ${path} failed: ${rule.code}`);
}
