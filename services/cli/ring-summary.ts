/** The answer of `GET /v1/cluster` as a few lines for people. Pure. */

/** A member as the cluster shows it. */
export interface MemberLine {
  readonly node: string;
  readonly zone: string;
  readonly host: string;
  readonly liveness: string;
  readonly address: string;
  readonly slotsHeld: number;
}

/** The cluster as a node shows it; members that are missing in the answer are empty. */
export interface ClusterSummary {
  readonly cluster: string;
  readonly partitions: number;
  readonly replicas: number;
  readonly ringHash: string;
  readonly members: readonly MemberLine[];
}

function text(value: unknown): string {
  return typeof value === "string" || typeof value === "number" ? String(value) : "";
}

function memberOf(value: unknown): MemberLine {
  const one = (typeof value === "object" && value !== null ? value : {}) as Readonly<Record<string, unknown>>;
  return {
    node: text(one["node"]),
    zone: text(one["zone"]),
    host: text(one["host"]),
    liveness: text(one["liveness"]),
    address: text(one["address"]),
    slotsHeld: Number(one["slotsHeld"] ?? 0),
  };
}

/** Understands the answer; undefined when it is something else. */
export function parseCluster(bytes: Uint8Array): ClusterSummary | undefined {
  try {
    const answer = JSON.parse(Buffer.from(bytes).toString("utf8")) as Readonly<Record<string, unknown>> | null;
    const members = answer?.["members"];
    if (answer === null || !Array.isArray(members)) return undefined;
    return {
      cluster: text(answer["cluster"]),
      partitions: Number(answer["partitions"] ?? 0),
      replicas: Number(answer["replicas"] ?? 0),
      ringHash: text(answer["ringHash"]),
      members: members.map(memberOf),
    };
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** Columns of even width, two spaces between them. */
export function columns(rows: readonly (readonly string[])[], indent = ""): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length)));
  const line = (row: readonly string[]): string =>
    row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ");
  return rows.map((row) => `${indent}${line(row)}`.trimEnd()).join("\n");
}

/** The ring in a few lines; empty when the answer is not one. */
export function ringSummary(bytes: Uint8Array): string {
  const cluster = parseCluster(bytes);
  if (cluster === undefined) return "";
  const total = cluster.partitions * cluster.replicas;
  const head = `ring ${cluster.ringHash}: ${cluster.partitions} partitions, ${cluster.replicas} replicas of each`;
  const rows = cluster.members.map((member) => [
    member.node,
    member.liveness,
    `zone ${member.zone}`,
    `host ${member.host}`,
    `${member.slotsHeld} slots`,
    total === 0 ? "" : `${((100 * member.slotsHeld) / total).toFixed(1)} %`,
  ]);
  return `${head}\n${columns(rows, "  ")}`;
}
