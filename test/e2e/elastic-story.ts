/**
 * The story of a cluster that grows and shrinks under load: 3 → 5 → 8 → 5 → 3 nodes, joins and leaves overlapping, a receiver
 * and a donor killed in mid-transfer. `elastic.test.ts` tells a short one, `elastic.ts` the whole. Must never judge data by
 * itself: the oracle does.
 */
import { pause, type RealCluster, until } from "./cluster.ts";
import { type Answer, ask, tryAsk } from "./http.ts";

/** What `GET /v1/cluster` says of a member, as far as it matters here. */
export interface MemberLook {
  readonly node: string;
  readonly memberKey: string;
  readonly status: string;
  readonly liveness: string;
  readonly slotsHeld: number;
  readonly slotsTarget: number;
}

/** What it says of the cluster. */
export interface ClusterLook {
  readonly verdict: string;
  readonly reasons: readonly string[];
  readonly recordsHash: string;
  readonly partitionsLeft: number;
  readonly members: readonly MemberLook[];
}

/** What a node says now; undefined when it says nothing. */
export async function look(cluster: RealCluster, node: number): Promise<ClusterLook | undefined> {
  const answer = await tryAsk(`${cluster.url(node)}/v1/cluster`);
  if (answer?.status !== 200) return undefined;
  const { moves, ...rest } = answer.body as unknown as ClusterLook & {
    readonly moves: Pick<ClusterLook, "partitionsLeft">;
  };
  return { ...rest, partitionsLeft: moves.partitionsLeft };
}

/** The names of nodes by number: n1 is 0. */
export function nameOf(node: number): string {
  return `n${node + 1}`;
}

/** Waits until `node` sees exactly these members, all normal, and nothing to move. Throws with what it saw last. */
export async function untilSettled(
  cluster: RealCluster,
  nodes: readonly number[],
  timeoutMs: number,
): Promise<ClusterLook> {
  const endsAt = performance.now() + timeoutMs;
  const names = nodes.map(nameOf).toSorted().join(",");
  for (;;) {
    const looks = await Promise.all(nodes.map((node) => look(cluster, node)));
    const isSettled = looks.every((one) => {
      const normal = one?.members.filter((member) => member.status === "normal").map((member) => member.node);
      const isMoving =
        one?.members.some((member) => member.status === "joining" || member.status === "leaving") === true;
      return one?.partitionsLeft === 0 && !isMoving && normal?.toSorted().join(",") === names;
    });
    const first = looks[0];
    if (isSettled && first !== undefined && new Set(looks.map((one) => one?.recordsHash)).size === 1) return first;
    if (performance.now() > endsAt) {
      throw new Error(`not settled on ${names} after ${timeoutMs} ms: ${JSON.stringify(looks.map(shortOf), null, 1)}`);
    }
    await pause(200);
  }
}

function shortOf(one: ClusterLook | undefined): unknown {
  if (one === undefined) return "no answer";
  const members = one.members.map(
    (member) => `${member.node} ${member.status} ${member.slotsHeld}/${member.slotsTarget}`,
  );
  return { left: one.partitionsLeft, hash: one.recordsHash, members, reasons: one.reasons };
}

/** Plans changes at a node and commits them. Throws with what was refused. */
export async function change(cluster: RealCluster, at: number, changes: readonly unknown[]): Promise<void> {
  for (let tries = 0; ; tries += 1) {
    const planned = await post(`${cluster.url(at)}/v1/cluster/plan`, { changes });
    const committed =
      planned.status === 200
        ? await post(`${cluster.url(at)}/v1/cluster/commit`, { planHash: planned.body["planHash"], changes })
        : planned;
    if (committed.status === 200) return;
    // While slots move, records change under every plan.
    if (tries >= 50 || committed.body["code"] !== "plan_changed") throw new Error(committed.text);
    await pause(50);
  }
}

function post(url: string, body: unknown): Promise<Answer> {
  return ask(url, { method: "POST", body: JSON.stringify(body) });
}

/** The owners of every partition as a node tells them, as one text. */
export async function ringText(cluster: RealCluster, node: number): Promise<string> {
  const parts: string[] = [];
  let from: number | undefined = 0;
  while (from !== undefined) {
    const answer: Answer = await ask(`${cluster.url(node)}/v1/ring?from=${from}&limit=1024`);
    const { partitions, next } = answer.body as { partitions: readonly { owners: readonly string[] }[]; next?: number };
    for (const { owners } of partitions) parts.push(owners.join(","));
    from = typeof next === "number" ? next : undefined;
  }
  return parts.join("\n");
}

/** The zone of a node: three zones, dealt out in turn. */
export function zoneOf(node: number): string {
  return `zone-${"abc"[node % 3]}`;
}

/** The environment that tells a node its zone. */
export function zoneEnv(node: number): Readonly<Record<string, string>> {
  return { GYRE_ZONE: zoneOf(node) };
}

/** Partitions of a ring's text whose owners are not three nodes in three zones. */
export function crowdedPartitions(text: string): readonly string[] {
  return text.split("\n").filter((line) => {
    const owners = line.split(",");
    const zones = owners.map((name) => zoneOf(Number(name.slice(1)) - 1));
    return new Set(owners).size !== 3 || new Set(zones).size !== 3;
  });
}

/** Waits until a node that has left holds no key of anybody. */
export async function untilEmpty(cluster: RealCluster, node: number, timeoutMs: number): Promise<void> {
  const isEmpty = async (): Promise<boolean> =>
    (await metric(cluster, node, "gyre_storage_keys")) + (await metric(cluster, node, "gyre_storage_tombstones")) === 0;
  await until(`${nameOf(node)} is empty`, isEmpty, timeoutMs);
}

/** Waits until no node keeps a copy that it has given away. */
export async function untilNoOldCopies(
  cluster: RealCluster,
  nodes: readonly number[],
  timeoutMs: number,
): Promise<void> {
  const areGone = async (): Promise<boolean> => {
    const counts = await Promise.all(nodes.map((node) => metric(cluster, node, "gyre_handover_old_copies")));
    return counts.every((count) => count === 0);
  };
  await until("copies given away are dropped", areGone, timeoutMs);
}

/** The value of a metric without labels. */
export async function metric(cluster: RealCluster, node: number, name: string): Promise<number> {
  const { text } = await ask(`${cluster.url(node)}/metrics`);
  const line = text.split("\n").find((one) => one.startsWith(`${name} `));
  return Number(line?.slice(name.length + 1) ?? "NaN");
}
