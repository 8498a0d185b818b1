/**
 * A world of nodes that bootstrap: the real core, the real codecs, and a network that may do anything. One small number
 * is one event, so that a schedule is an array of numbers and fast-check can shrink it. No tests here.
 */
import assert from "node:assert/strict";
import { type NodeId, parseNodeId } from "../../../services/base/ids.ts";
import { takeBootstrapInput } from "../../../services/cluster/bootstrap-core.ts";
import {
  type BootstrapReply,
  type BootstrapRequest,
  parseBootstrapReply,
  parseBootstrapRequest,
} from "../../../services/cluster/bootstrap-messages.ts";
import type { BootstrapSettings } from "../../../services/cluster/bootstrap-rules.ts";
import {
  type BootstrapInput,
  type BootstrapState,
  startBootstrapState,
} from "../../../services/cluster/bootstrap-state.ts";
import {
  decodeOwnRecord,
  emptyOwnRecord,
  encodeOwnRecord,
  type OwnRecord,
} from "../../../services/cluster/own-record.ts";

type Message =
  | { readonly kind: "request"; readonly from: number; readonly to: number; readonly body: BootstrapRequest }
  | {
      readonly kind: "reply";
      readonly from: number;
      readonly to: number;
      readonly body: BootstrapReply;
      readonly request: BootstrapRequest;
    };

interface WorldNode {
  readonly settings: BootstrapSettings;
  /** what is on disk */
  document: Uint8Array;
  /** undefined: not running */
  state: BootstrapState | undefined;
  /** the next write ends in a crash: before it is durable, or after it and before anything leaves */
  fate: "none" | "crash_before_write" | "crash_after_write";
}

/** Size of the cluster that a schedule runs on. */
export interface WorldShape {
  readonly nodeCount: number;
  readonly expect: number;
  readonly replicaCount: number;
}

/** A node id that is known to be good. */
export function nodeId(text: string): NodeId {
  const id = parseNodeId(text);
  assert.ok(id !== undefined, `${text} is a node id`);
  return id;
}

/** What a node of these tests is configured with; Q is small for speed. */
export function settingsFor(
  name: string,
  shape: { readonly expect: number; readonly replicaCount: number },
): BootstrapSettings {
  return {
    node: { id: nodeId(name), zone: `zone-${name}`, host: `host-${name}`, weight: 1, address: `${name}.test:4500` },
    clusterName: "test",
    expect: shape.expect,
    partitionCount: 64,
    replicaCount: shape.replicaCount,
    bucketDefaults: { n: shape.replicaCount, r: 1, w: 1, conflicts: "siblings", blindWrites: "overwrite" },
  };
}

/** The world. `step` takes any whole number ≥ 0. */
export class BootstrapWorld {
  readonly nodes: WorldNode[];
  readonly messages: Message[] = [];
  /** writes that reached a disk */
  writeCount = 0;
  /** events of the log so far, by name: shows what a schedule reached */
  readonly events: Map<string, number> = new Map();
  private mintedCount = 0;
  /** what the documents say, each read once */
  private readonly read = new WeakMap<Uint8Array, OwnRecord>();

  constructor(shape: WorldShape) {
    this.nodes = Array.from({ length: shape.nodeCount }, (_, index) => {
      const settings = settingsFor(String.fromCharCode(97 + index), shape);
      const record = emptyOwnRecord(settings.node.id, settings.clusterName);
      return {
        settings,
        document: encodeOwnRecord(record),
        state: startBootstrapState(settings, record),
        fate: "none",
      };
    });
  }

  recordOf({ document }: WorldNode): OwnRecord {
    const known = this.read.get(document);
    if (known !== undefined) return known;
    const record = recordIn(document);
    this.read.set(document, record);
    return record;
  }

  step(choice: number): void {
    const kind = choice % 100;
    const pick = Math.floor(choice / 100);
    const index = pick % this.nodes.length;
    if (kind < 40) this.deliver(pick);
    else if (kind < 43) this.messages.splice(pick % Math.max(1, this.messages.length), 1);
    else if (kind < 47) this.duplicate(pick);
    else if (kind < 66) this.tick(index);
    else if (kind < 67) for (let count = 0; count < 25; count += 1) this.tick(index);
    else if (kind < 79) this.see(pick, true);
    else if (kind < 85) this.seeAll(index);
    else if (kind < 88) this.see(pick, false);
    else if (kind < 89) this.crash(index);
    else if (kind < 91) this.doom(pick);
    else this.restart(index);
  }

  /** Everyone runs, sees everyone, and nothing is lost: what the nodes then come to. */
  settle(): void {
    for (let index = 0; index < this.nodes.length; index += 1) {
      this.node(index).fate = "none";
      this.restart(index);
    }
    for (let from = 0; from < this.nodes.length; from += 1) {
      for (let to = 0; to < this.nodes.length; to += 1) this.showTo(from, to, true);
    }
    for (let round = 0; round < 120; round += 1) {
      for (let index = 0; index < this.nodes.length; index += 1) this.tick(index);
      for (let sent = 0; this.messages.length > 0 && sent < 10_000; sent += 1) this.deliver(0);
      const isMember = (node: WorldNode): boolean => this.recordOf(node).stage.kind === "member";
      if (this.nodes.filter(isMember).length === this.nodes[0]?.settings.expect) return;
    }
  }

  /** Gives a node an input, and does what follows in the order that the shell keeps: disk first. */
  give(
    index: number,
    input: BootstrapInput,
    answerTo?: { readonly to: number; readonly request: BootstrapRequest },
  ): void {
    const node = this.node(index);
    if (node.state === undefined) return;
    const output = takeBootstrapInput(node.state, input);
    if (output.record !== undefined) {
      const { fate } = node;
      node.fate = "none";
      if (fate !== "crash_before_write") {
        node.document = encodeOwnRecord(output.record);
        this.writeCount += 1;
      }
      if (fate !== "none") {
        this.crash(index);
        return;
      }
    }
    for (const { facts } of output.logs) this.events.set(facts.event, (this.events.get(facts.event) ?? 0) + 1);
    if (answerTo !== undefined && output.reply !== undefined) {
      const body = parseBootstrapReply(structuredClone(output.reply));
      assert.ok(body !== undefined, "a reply can be parsed");
      this.messages.push({ kind: "reply", from: index, to: answerTo.to, body, request: answerTo.request });
    }
    for (const { to, request } of output.sends) {
      const body = parseBootstrapRequest(structuredClone(request));
      assert.ok(body !== undefined, "a request can be parsed");
      this.messages.push({ kind: "request", from: index, to: this.indexOf(to), body });
    }
  }

  tick(index: number): void {
    this.mintedCount += 1;
    this.give(index, { kind: "tick", candidateId: this.mintedCount.toString(16).padStart(32, "0") });
  }

  /** `from` is shown a link to `to`, or its end; views need not be symmetric. */
  showTo(from: number, to: number, isUp: boolean): void {
    const peer = this.node(to);
    if (from === to || (isUp && peer.state === undefined)) return;
    if (!isUp) return this.give(from, { kind: "peer_down", node: peer.settings.node.id });
    const { stage } = this.recordOf(peer);
    const clusterId = stage.kind === "member" ? stage.proposal.config.clusterId : undefined;
    this.give(from, { kind: "peer_up", peer: { member: peer.settings.node, clusterId } });
  }

  crash(index: number): void {
    this.node(index).state = undefined;
    for (let other = 0; other < this.nodes.length; other += 1) this.showTo(other, index, false);
  }

  /** The node dies, and its disk with it; what it has sent is still under way. */
  wipe(index: number): void {
    const node = this.node(index);
    this.crash(index);
    node.document = encodeOwnRecord(emptyOwnRecord(node.settings.node.id, node.settings.clusterName));
  }

  restart(index: number): void {
    const node = this.node(index);
    if (node.state === undefined) node.state = startBootstrapState(node.settings, recordIn(node.document));
  }

  deliver(pick: number): void {
    const [message] = this.messages.splice(pick % Math.max(1, this.messages.length), 1);
    if (message === undefined) return;
    const from = this.node(message.from).settings.node.id;
    if (message.kind === "request") {
      const answerTo = { to: message.from, request: message.body };
      this.give(message.to, { kind: "request", from, request: message.body }, answerTo);
    } else {
      this.give(message.to, { kind: "reply", from, request: message.request, reply: message.body });
    }
  }

  private duplicate(pick: number): void {
    const message = this.messages[pick % Math.max(1, this.messages.length)];
    if (message !== undefined && this.messages.length < 200) this.messages.push(message);
  }

  private see(pick: number, isUp: boolean): void {
    const from = pick % this.nodes.length;
    const to = Math.floor(pick / this.nodes.length) % this.nodes.length;
    this.showTo(from, to, isUp);
    if (isUp) this.showTo(to, from, true);
  }

  private seeAll(index: number): void {
    for (let other = 0; other < this.nodes.length; other += 1) {
      if (this.node(index).state !== undefined) this.showTo(other, index, true);
      this.showTo(index, other, true);
    }
  }

  private doom(pick: number): void {
    const node = this.node(pick % this.nodes.length);
    node.fate = Math.floor(pick / this.nodes.length) % 2 === 0 ? "crash_before_write" : "crash_after_write";
  }

  private indexOf(id: NodeId): number {
    return this.nodes.findIndex((node) => node.settings.node.id === id);
  }

  private node(index: number): WorldNode {
    const node = this.nodes[index];
    assert.ok(node !== undefined, "a node of this world");
    return node;
  }
}

function recordIn(document: Uint8Array): OwnRecord {
  const read = decodeOwnRecord(document);
  assert.ok(read.kind === "record", "what was written reads back");
  return read.record;
}
