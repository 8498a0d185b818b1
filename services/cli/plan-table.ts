/** A plan as `POST /v1/cluster/plan` answers it, understood and as a short table. Pure. */
import { bytesText, columns } from "./columns.ts";

/** A change of membership, as the API takes it. */
export interface Change {
  readonly kind: "join" | "leave" | "remove" | "replace" | "weight" | "zone" | "host";
  readonly node: string;
  readonly with?: string;
  readonly force?: boolean;
  readonly weight?: number;
  readonly zone?: string;
  readonly host?: string;
}

/** A plan; what is missing in the answer is empty. */
export interface Plan {
  readonly planHash: string;
  readonly refusals: readonly string[];
  readonly warnings: readonly string[];
  readonly movedCopies: number;
  readonly minimumCopies: number;
  readonly bytes: number;
  readonly moves: readonly Share[];
  readonly before: Ring;
  readonly after: Ring;
}

interface Share {
  readonly node: string;
  readonly incoming: number;
  readonly outgoing: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

interface Ring {
  readonly maxOverFair: number;
  readonly slots: Readonly<Record<string, number>>;
  readonly zones: Readonly<Record<string, number>>;
  readonly zoneViolations: number;
}

type Fields = Readonly<Record<string, unknown>>;

/** The change in words: `join n4`, `replace n2 with n5`, `zone of n2 to b`. */
export function changeText(change: Change): string {
  const label = change.weight ?? change.zone ?? change.host;
  if (label !== undefined) return `${change.kind} of ${change.node} to ${label}`;
  const successor = change.with === undefined ? "" : ` with ${change.with}`;
  return `${change.kind} ${change.node}${successor}${change.force === true ? " by force" : ""}`;
}

/** Understands the answer; undefined when it is something else. */
export function parsePlan(answer: Fields): Plan | undefined {
  const { planHash } = answer;
  if (typeof planHash !== "string") return undefined;
  return {
    planHash,
    refusals: list(answer["refusals"]).map(String),
    warnings: list(answer["warnings"]).map(String),
    movedCopies: number(answer["movedCopies"]),
    minimumCopies: number(answer["minimumCopies"]),
    bytes: number(answer["bytes"]),
    moves: list(answer["moves"]).map(shareIn),
    before: ringIn(answer["before"]),
    after: ringIn(answer["after"]),
  };
}

/** The plan in a few lines: what each node holds now and then, how much moves, balance, zones, warnings, refusals. */
export function planText(plan: Plan, changes: readonly Change[]): string {
  const { before, after, refusals, warnings } = plan;
  const least = plan.minimumCopies > 0 ? ` (the least possible: ${plan.minimumCopies})` : "";
  return [
    `plan ${plan.planHash}: ${changes.map(changeText).join(", ")}`,
    columns([["node", "slots", "then", "in", "out", "bytes in", "bytes out"], ...rowsOf(plan)], "  "),
    `moves    ${plan.movedCopies} copies${least}, ${bytesText(plan.bytes)}`,
    `balance  the fullest node has ${ratio(before)} of its fair share, then ${ratio(after)}`,
    `zones    ${zonesText(before, after)}`,
    ...warnings.map((words) => `warning  ${words}`),
    ...refusals.map((words) => `refused  ${words}`),
  ].join("\n");
}

function rowsOf(plan: Plan): readonly (readonly string[])[] {
  const { before, after, moves } = plan;
  const nodes = [...new Set([...Object.keys(before.slots), ...Object.keys(after.slots)])].toSorted();
  return nodes.map((node) => {
    const share = moves.find((one) => one.node === node);
    const counts = [before.slots[node] ?? 0, after.slots[node] ?? 0, share?.incoming ?? 0, share?.outgoing ?? 0];
    return [node, ...counts.map(String), bytesText(share?.bytesIn ?? 0), bytesText(share?.bytesOut ?? 0)];
  });
}

function ratio({ maxOverFair }: Ring): string {
  return maxOverFair.toFixed(2);
}

function zonesText(before: Ring, after: Ring): string {
  const zones = [...new Set([...Object.keys(before.zones), ...Object.keys(after.zones)])].toSorted();
  const counts = zones.map((zone) => `${zone} ${before.zones[zone] ?? 0} → ${after.zones[zone] ?? 0}`);
  const [now, later] = [before.zoneViolations, after.zoneViolations];
  const spread = now + later === 0 ? "" : `; partitions in fewer zones than they could be: ${now} → ${later}`;
  return `${counts.join(", ")}${spread}`;
}

function shareIn(value: unknown): Share {
  const one = parseFields(value);
  return {
    node: String(one["node"]),
    incoming: number(one["incoming"]),
    outgoing: number(one["outgoing"]),
    bytesIn: number(one["bytesIn"]),
    bytesOut: number(one["bytesOut"]),
  };
}

function ringIn(value: unknown): Ring {
  const one = parseFields(value);
  return {
    maxOverFair: number(one["maxOverFair"]),
    slots: countsIn(one["slots"]),
    zones: countsIn(one["zones"]),
    zoneViolations: number(one["zoneViolations"]),
  };
}

function countsIn(value: unknown): Readonly<Record<string, number>> {
  return Object.fromEntries(Object.entries(parseFields(value)).map(([name, count]) => [name, number(count)]));
}

function parseFields(value: unknown): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function number(value: unknown): number {
  return typeof value === "number" ? value : 0;
}
