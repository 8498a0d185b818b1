/**
 * The slot ledger as a plain value for a JSON document, and back. Keys and node ids appear once, in a table; the entries
 * are rows of whole numbers. Strict: one unknown symbol, one row too short, one key twice, and it is no ledger at all.
 * Whether the bytes are the ones that were written is the document's to know.
 */
import { type NodeId, parseNodeId } from "../base/ids.ts";
import { MAX_REPLICAS } from "../base/limits.ts";
import type { MemberKey } from "../placement/member-record.ts";
import { parseFields, parseWhole } from "./cluster-config.ts";
import { parseHandoverKey } from "./handover-messages.ts";
import { emptyLedger, type SlotLedger } from "./slot-ledger.ts";

/** Rows of whole numbers; a column of keys or nodes holds places in the tables. */
type Rows = readonly (readonly number[])[];

/** What goes into the document. */
export interface PlainLedger {
  readonly txCounter: number;
  /** one symbol per partition: the slot, or `.` */
  readonly slots: string;
  readonly keys: readonly MemberKey[];
  readonly nodes: readonly NodeId[];
  /** partition, from, tx, slot */
  readonly staged: Rows;
  /** partition, from, tx */
  readonly consumed: Rows;
  /** partition, to, toNode, tx, slot, atMs, 1 when settled */
  readonly released: Rows;
  /** partition, from */
  readonly receiving: Rows;
  /** partition, slot, to, tx, 1 when over */
  readonly promises: Rows;
  /** partition, slot, tx */
  readonly minting: Rows;
  readonly retained: readonly number[];
}

const SLOT_SYMBOLS = "0123456";
const NO_SLOT_SYMBOL = ".";

/** The value to write: about 40 bytes of JSON an entry, and one a partition. */
export function plainLedger(ledger: SlotLedger): PlainLedger {
  const keys = new Table<MemberKey>();
  const nodes = new Table<NodeId>();
  const consumed = [...ledger.consumed].flatMap(([partition, donors]) =>
    [...donors].map(([from, tx]) => [partition, keys.placeOf(from), tx]),
  );
  const promises = [...ledger.promises].flatMap(([partition, slots]) =>
    [...slots].map(([slot, { to, tx, isOver }]) => [partition, slot, keys.placeOf(to), tx, Number(isOver)]),
  );
  return {
    txCounter: ledger.txCounter,
    slots: Array.from(ledger.slots, (slot) => SLOT_SYMBOLS[slot] ?? NO_SLOT_SYMBOL).join(""),
    staged: [...ledger.staged].map(([partition, { from, tx, slot }]) => [partition, keys.placeOf(from), tx, slot]),
    consumed,
    released: [...ledger.released].map(([partition, { to, toNode, tx, slot, atMs, isSettled }]) => [
      ...[partition, keys.placeOf(to), nodes.placeOf(toNode)],
      ...[tx, slot, atMs, Number(isSettled)],
    ]),
    receiving: [...ledger.receiving].map(([partition, from]) => [partition, keys.placeOf(from)]),
    promises,
    minting: [...ledger.minting].map(([partition, { slot, tx }]) => [partition, slot, tx]),
    retained: [...ledger.retained],
    // Last: the rows above have filled the tables.
    keys: keys.values,
    nodes: nodes.values,
  };
}

/** The ledger in a value that was read, or undefined when it is none of `partitionCount` partitions. Never throws. */
export function ledgerOf(value: unknown, partitionCount: number): SlotLedger | undefined {
  const fields = parseFields(value);
  if (fields === undefined || typeof fields["slots"] !== "string") return undefined;
  const slots = parseSlots(fields["slots"], partitionCount);
  const txCounter = parseWhole(fields["txCounter"]);
  const keys = parseTable(fields["keys"], parseHandoverKey);
  const nodes = parseTable(fields["nodes"], (node) => (typeof node === "string" ? parseNodeId(node) : undefined));
  if (slots === undefined || txCounter === undefined || keys === undefined || nodes === undefined) return undefined;
  const ledger = emptyLedger(slots);
  ledger.txCounter = txCounter;
  const reader: Reader = { ledger, keys, nodes, isSound: true };
  for (const [name, width, add] of ROWS) readRows(reader, parseRows(fields[name], width), add);
  const retained = parseRows(Array.isArray(fields["retained"]) ? fields["retained"].map((one) => [one]) : undefined, 1);
  readRows(reader, retained, ({ ledger: { retained: kept } }, [partition = 0]) => addOnce(kept, partition));
  return reader.isSound ? ledger : undefined;
}

interface Reader {
  readonly ledger: SlotLedger;
  readonly keys: readonly MemberKey[];
  readonly nodes: readonly NodeId[];
  isSound: boolean;
}

/** Puts one row into the ledger; false when it cannot be there. */
type AddRow = (reader: Reader, row: readonly number[]) => boolean;

const ROWS: readonly (readonly [string, number, AddRow])[] = [
  [
    "staged",
    4,
    ({ ledger, keys }, [partition = 0, key = 0, tx = 0, slot = 0]) => {
      const from = keys[key];
      if (from === undefined || !isSlot(slot) || ledger.slots[partition] !== -1) return false;
      return setOnce(ledger.staged, partition, { from, tx, slot });
    },
  ],
  [
    "consumed",
    3,
    ({ ledger, keys }, [partition = 0, key = 0, tx = 0]) => {
      const from = keys[key];
      return from !== undefined && setOnce(inner(ledger.consumed, partition), from, tx);
    },
  ],
  [
    "released",
    7,
    ({ ledger, keys, nodes }, [partition = 0, key = 0, node = 0, tx = 0, slot = 0, atMs = 0, settled = 0]) => {
      const to = keys[key];
      const toNode = nodes[node];
      if (to === undefined || toNode === undefined || !isSlot(slot) || settled > 1) return false;
      return setOnce(ledger.released, partition, { to, toNode, tx, slot, atMs, isSettled: settled === 1 });
    },
  ],
  [
    "receiving",
    2,
    ({ ledger, keys }, [partition = 0, key = 0]) => {
      const from = keys[key];
      return from !== undefined && setOnce(ledger.receiving, partition, from);
    },
  ],
  [
    "promises",
    5,
    ({ ledger, keys }, [partition = 0, slot = 0, key = 0, tx = 0, over = 0]) => {
      const to = keys[key];
      if (to === undefined || !isSlot(slot) || over > 1) return false;
      return setOnce(inner(ledger.promises, partition), slot, { to, tx, isOver: over === 1 });
    },
  ],
  [
    "minting",
    3,
    ({ ledger }, [partition = 0, slot = 0, tx = 0]) => {
      return isSlot(slot) && ledger.slots[partition] === -1 && setOnce(ledger.minting, partition, { slot, tx });
    },
  ],
];

function readRows(reader: Reader, rows: Rows | undefined, add: AddRow): void {
  const { length } = reader.ledger.slots;
  const isSound = rows?.every((row) => (row[0] ?? length) < length && add(reader, row)) ?? false;
  if (!isSound) reader.isSound = false;
}

function parseRows(value: unknown, width: number): Rows | undefined {
  if (!Array.isArray(value)) return undefined;
  const rows: number[][] = [];
  for (const item of value) {
    if (!Array.isArray(item) || item.length !== width) return undefined;
    const row = item.map(parseWhole).filter((cell) => cell !== undefined);
    if (row.length !== width) return undefined;
    rows.push(row);
  }
  return rows;
}

function parseTable<T>(value: unknown, parse: (item: unknown) => T | undefined): readonly T[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const parsed = value.map(parse).filter((item) => item !== undefined);
  return parsed.length === value.length && new Set(parsed).size === parsed.length ? parsed : undefined;
}

function parseSlots(text: string, partitionCount: number): Int8Array | undefined {
  if (text.length !== partitionCount) return undefined;
  for (const symbol of text) if (symbol !== NO_SLOT_SYMBOL && !SLOT_SYMBOLS.includes(symbol)) return undefined;
  return Int8Array.from(text, (symbol) => SLOT_SYMBOLS.indexOf(symbol));
}

function isSlot(slot: number): boolean {
  return slot < MAX_REPLICAS;
}

function inner<K, V>(outer: Map<number, Map<K, V>>, partition: number): Map<K, V> {
  const found = outer.get(partition) ?? new Map<K, V>();
  outer.set(partition, found);
  return found;
}

function setOnce<K, V>(map: Map<K, V>, key: K, value: V): boolean {
  if (map.has(key)) return false;
  map.set(key, value);
  return true;
}

function addOnce(set: Set<number>, value: number): boolean {
  if (set.has(value)) return false;
  set.add(value);
  return true;
}

/** Values in the order in which they were first named. */
class Table<T> {
  readonly values: T[] = [];
  readonly #places = new Map<T, number>();

  placeOf(value: T): number {
    const known = this.#places.get(value);
    if (known !== undefined) return known;
    this.#places.set(value, this.values.length);
    this.values.push(value);
    return this.values.length - 1;
  }
}
