/** What `gyre top` shows of a moment: a line for each node, out of two scrapes and the members as the cluster shows them. Pure. */
import { type ClusterSummary, isBelonging, type MemberLine } from "../cluster-summary.ts";
import { bytesText, columns } from "../columns.ts";
import { countBetween, quantileBetween, type Scrape } from "./metrics-text.ts";

/** What one look at a node brought. */
export interface NodeLook {
  readonly url: string;
  /** by a steady clock, ms */
  readonly atMs: number;
  /** undefined: it did not answer */
  readonly scrape: Scrape | undefined;
  /** why not, in words; empty when it did */
  readonly flaw: string;
}

/** A node in numbers; undefined where nothing is known. */
export interface NodeLine {
  readonly node: string;
  readonly url: string;
  /** alive, or as the cluster sees it; with its status, unless that is normal */
  readonly state: string;
  readonly opsPerSecond: number | undefined;
  readonly failedPerSecond: number | undefined;
  readonly readP99Ms: number | undefined;
  readonly writeP99Ms: number | undefined;
  readonly loopDelayMs: number | undefined;
  /** 0 … 1: the share of its full pace that background work has */
  readonly backgroundShare: number | undefined;
  readonly hintCount: number | undefined;
  /** slots that it should hold and does not yet */
  readonly slotsLeft: number | undefined;
  readonly receivedBytesPerSecond: number | undefined;
  /** 0 … 1 */
  readonly diskFill: number | undefined;
}

/** All lines of a moment: nodes that were asked, in their order, then members that were not. */
export function linesOf(
  looks: readonly { readonly before: NodeLook; readonly now: NodeLook }[],
  cluster: ClusterSummary | undefined,
): readonly NodeLine[] {
  const members = cluster?.members.filter(isBelonging) ?? [];
  const asked = looks.map(({ before, now }) => {
    const name = now.scrape?.node ?? before.scrape?.node ?? "";
    return lineOf(
      before,
      now,
      members.find(({ node }) => node === name),
    );
  });
  const shown = new Set(asked.map(({ node }) => node));
  const others = members.filter(({ node }) => !shown.has(node));
  return [...asked, ...others.map((member) => unknownLine(member.node, "", stateOf(member)))];
}

function lineOf(before: NodeLook, now: NodeLook, member: MemberLine | undefined): NodeLine {
  const node = now.scrape?.node ?? before.scrape?.node ?? now.url;
  if (now.scrape === undefined) return unknownLine(node, now.url, now.flaw);
  const { scrape } = now;
  const value = (name: string): number | undefined => scrape.values.get(name);
  const line = unknownLine(node, now.url, member === undefined ? "no member" : stateOf(member));
  const total = value("gyre_disk_total_bytes") ?? 0;
  const delay = value("gyre_loop_delay_seconds");
  return {
    ...line,
    ...ratesOf(before, now),
    loopDelayMs: delay === undefined ? undefined : delay * 1_000,
    backgroundShare: value("gyre_background_share_ratio"),
    hintCount: value("gyre_hints_kept"),
    slotsLeft: value("gyre_handover_left"),
    diskFill: total > 0 ? 1 - (value("gyre_disk_free_bytes") ?? 0) / total : undefined,
  };
}

/** What needs two scrapes of one process: one that has started anew in between has no rates yet. */
function ratesOf(before: NodeLook, now: NodeLook): Partial<NodeLine> {
  const [first, second] = [before.scrape, now.scrape];
  const seconds = (now.atMs - before.atMs) / 1_000;
  const started = "process_start_time_seconds";
  if (first === undefined || second === undefined || seconds <= 0) return {};
  if (first.values.get(started) !== second.values.get(started)) return {};
  const count = countBetween(first.reads, second.reads) + countBetween(first.writes, second.writes);
  const p99Ms = (kind: "reads" | "writes"): number | undefined => {
    const p99 = quantileBetween(first[kind], second[kind], 0.99);
    return p99 === undefined ? undefined : p99 * 1_000;
  };
  const received = "gyre_handover_received_bytes_total";
  return {
    opsPerSecond: count / seconds,
    failedPerSecond: (second.failed - first.failed) / seconds,
    readP99Ms: p99Ms("reads"),
    writeP99Ms: p99Ms("writes"),
    receivedBytesPerSecond: ((second.values.get(received) ?? 0) - (first.values.get(received) ?? 0)) / seconds,
  };
}

function stateOf({ liveness, status }: MemberLine): string {
  return status === "normal" ? liveness : `${liveness}, ${status}`;
}

function unknownLine(node: string, url: string, state: string): NodeLine {
  return {
    node,
    url,
    state,
    opsPerSecond: undefined,
    failedPerSecond: undefined,
    readP99Ms: undefined,
    writeP99Ms: undefined,
    loopDelayMs: undefined,
    backgroundShare: undefined,
    hintCount: undefined,
    slotsLeft: undefined,
    receivedBytesPerSecond: undefined,
    diskFill: undefined,
  };
}

const HEAD = [
  "node",
  "state",
  "ops/s",
  "5xx/s",
  "read p99",
  "write p99",
  "loop",
  "background",
  "hints",
  "to come",
  "disk",
];

/** The picture for people. */
export function pictureText(lines: readonly NodeLine[], atMs: number): string {
  const sum = (read: (line: NodeLine) => number | undefined): number =>
    lines.reduce((total, line) => total + (read(line) ?? 0), 0);
  const count = lines.filter(({ opsPerSecond }) => opsPerSecond !== undefined).length;
  const head = `${new Date(atMs).toISOString().slice(11, 19)} UTC  ${sum((line) => line.opsPerSecond).toFixed(0)} ops/s at ${count} nodes`;
  return `${head}\n${columns([HEAD, ...lines.map(cellsOf)], "  ")}\n`;
}

function cellsOf(line: NodeLine): readonly string[] {
  const shown = (value: number | undefined, text: (known: number) => string): string =>
    value === undefined ? "-" : text(value);
  const ms = (value: number): string => `${value < 10 ? value.toFixed(1) : value.toFixed(0)} ms`;
  const percent = (value: number): string => `${(100 * value).toFixed(0)} %`;
  const whole = (value: number): string => value.toFixed(0);
  const pace = line.receivedBytesPerSecond ?? 0;
  return [
    line.node,
    line.state,
    shown(line.opsPerSecond, whole),
    shown(line.failedPerSecond, (value) => (value > 0 && value < 1 ? "<1" : whole(value))),
    shown(line.readP99Ms, ms),
    shown(line.writeP99Ms, ms),
    shown(line.loopDelayMs, ms),
    shown(line.backgroundShare, percent),
    shown(line.hintCount, whole),
    shown(line.slotsLeft, (left) => (pace > 0 ? `${left} slots, ${bytesText(pace)}/s` : whole(left))),
    shown(line.diskFill, percent),
  ];
}
