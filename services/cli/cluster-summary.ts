/** The answers of `GET /v1/cluster`, understood: of one node, or of several made one. Pure. */

/** A member as the cluster shows it. */
export interface MemberLine {
  readonly node: string;
  /** waiting, joining, normal, leaving, left or removed */
  readonly status: string;
  readonly liveness: string;
  readonly zone: string;
  readonly host: string;
  readonly weight: number;
  readonly address: string;
  readonly slotsHeld: number;
  readonly incoming: number;
  readonly outgoing: number;
}

/** A hand-over that a node takes part in. */
export interface MoveLine {
  readonly partition: number;
  /** undefined while it is not known */
  readonly slot: number | undefined;
  /** empty while nobody is asked for it, and for a slot that is made anew */
  readonly from: string;
  readonly to: string;
  /** waiting, copying, catching-up, sealed, verifying or minting */
  readonly phase: string;
  /** that its receiver has got; undefined while nothing has come */
  readonly bytes: number | undefined;
  readonly keys: number | undefined;
  /** why it stands still; empty while it does not */
  readonly stalled: string;
}

/** The cluster as a node shows it; what is missing in the answer is empty. */
export interface ClusterSummary {
  readonly node: string;
  readonly cluster: string;
  /** of the node that answered: it has its place in a cluster, or had it */
  readonly isMember: boolean;
  readonly partitions: number;
  readonly replicas: number;
  readonly ringHash: string;
  /** members that know other records */
  readonly differing: readonly string[];
  readonly members: readonly MemberLine[];
  readonly partitionsLeft: number;
  readonly copiesLeft: number;
  readonly bytesPerSecond: number;
  readonly etaSeconds: number | undefined;
  readonly active: readonly MoveLine[];
  readonly vacantCount: number;
}

/** Understands the answer; undefined when it is something else. */
export function parseCluster(bytes: Uint8Array): ClusterSummary | undefined {
  const answer = parseJson(bytes);
  if (!Array.isArray(answer["members"])) return undefined;
  const moves = parseFields(answer["moves"]);
  return {
    node: text(answer["node"]),
    cluster: text(answer["cluster"]),
    isMember: typeof answer["waitingFor"] !== "string",
    partitions: number(answer["partitions"]),
    replicas: number(answer["replicas"]),
    ringHash: text(answer["ringHash"]),
    differing: list(answer["differing"]).map(text),
    members: list(answer["members"]).map(memberIn),
    partitionsLeft: number(moves["partitionsLeft"]),
    copiesLeft: number(moves["copiesLeft"]),
    bytesPerSecond: number(moves["bytesPerSecond"]),
    etaSeconds: amount(moves["etaSeconds"]),
    active: list(moves["active"]).map(moveIn),
    vacantCount: number(parseFields(answer["vacantSlots"])["count"]),
  };
}

/**
 * What several nodes say as one: the counts are those of the first that belongs to the ring and is not among `subjects`
 * (who leaves hears the last of it), the moves are everybody's. Undefined when nobody said anything.
 */
export function mergedSummary(
  told: readonly ClusterSummary[],
  subjects: readonly string[] = [],
): ClusterSummary | undefined {
  const base =
    told.find((one) => belongs(one) && !subjects.includes(one.node)) ??
    told.find(({ isMember }) => isMember) ??
    told[0];
  if (base === undefined) return undefined;
  const active = new Map<string, MoveLine>();
  for (const move of told.flatMap((one) => one.active)) {
    const name = `${move.partition} ${move.to}`;
    active.set(name, mergedMove(active.get(name), move));
  }
  const bytesPerSecond = told.reduce((sum, one) => sum + one.bytesPerSecond, 0);
  return { ...base, bytesPerSecond, active: [...active.values()] };
}

/** Giver and receiver both tell of a move, each what it knows: only the receiver, what came. */
function mergedMove(known: MoveLine | undefined, other: MoveLine): MoveLine {
  if (known === undefined) return other;
  return {
    ...(known.bytes === undefined && other.bytes !== undefined ? other : known),
    slot: known.slot ?? other.slot,
    from: known.from === "" ? other.from : known.from,
    stalled: known.stalled === "" ? other.stalled : known.stalled,
  };
}

/** Statuses of those who have a place in the ring. */
const BELONGING: readonly string[] = ["joining", "normal", "leaving"];

/** Whether the member has a place in the ring. */
export function isBelonging({ status }: MemberLine): boolean {
  return BELONGING.includes(status);
}

/** The member of that name: the life that belongs to the ring, if one does; earlier lives of a lost disk are listed too. */
export function memberNamed(seen: ClusterSummary, node: string): MemberLine | undefined {
  const lives = seen.members.filter((member) => member.node === node);
  return lives.find(isBelonging) ?? lives.at(-1);
}

/** Why moves stand still, each reason once, with how many wait for it. */
export function stalledLines(moves: readonly MoveLine[]): readonly string[] {
  const counts = new Map<string, number>();
  for (const { stalled } of moves) if (stalled !== "") counts.set(stalled, (counts.get(stalled) ?? 0) + 1);
  return [...counts].map(
    ([reason, count]) => `${count} ${count === 1 ? "move stands" : "moves stand"} still: ${reason}`,
  );
}

function belongs(told: ClusterSummary): boolean {
  const own = memberNamed(told, told.node);
  return told.isMember && own !== undefined && isBelonging(own);
}

type Fields = Readonly<Record<string, unknown>>;

function memberIn(value: unknown): MemberLine {
  const one = parseFields(value);
  return {
    node: text(one["node"]),
    status: text(one["status"]),
    liveness: text(one["liveness"]),
    zone: text(one["zone"]),
    host: text(one["host"]),
    weight: number(one["weight"]),
    address: text(one["address"]),
    slotsHeld: number(one["slotsHeld"]),
    incoming: number(one["incoming"]),
    outgoing: number(one["outgoing"]),
  };
}

function moveIn(value: unknown): MoveLine {
  const one = parseFields(value);
  return {
    partition: number(one["partition"]),
    slot: amount(one["slot"]),
    from: text(one["from"]),
    to: text(one["to"]),
    phase: text(one["phase"]),
    bytes: amount(one["bytes"]),
    keys: amount(one["keys"]),
    stalled: text(one["stalled"]),
  };
}

function parseJson(bytes: Uint8Array): Fields {
  try {
    return parseFields(JSON.parse(Buffer.from(bytes).toString("utf8")));
  } catch (error) {
    if (error instanceof SyntaxError) return {};
    throw error;
  }
}

function parseFields(value: unknown): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function text(value: unknown): string {
  return typeof value === "string" || typeof value === "number" ? String(value) : "";
}

function amount(value: unknown): number | undefined {
  return typeof value === "number" ? value : undefined;
}

function number(value: unknown): number {
  return typeof value === "number" ? value : 0;
}
