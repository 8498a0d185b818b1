/**
 * What catching up says on the wire: questions, and pages of the keys that a holder has. Pure. Must never throw on any value,
 * nor take a page for whole that does not say which records its maker has lost: such a page is none.
 *
 * A page: `listed` (each hash u64, digest u64, length u16, key; big-endian), `lost` (hashes, always there, `[]` when nothing is
 * lost), `next` (a hash; not there on the last page).
 */
import { CATCH_UP_KEYS, MAX_KEY_BYTES } from "../base/limits.ts";
import { bufferOf, countOf, fieldsOf, hexOf, parseHex } from "./collect-messages.ts";

/** A key that a holder has. */
export interface Listed {
  readonly hash: bigint;
  readonly digest: bigint;
  readonly key: Buffer;
}

/** The keys of a range of hashes. */
export interface Page {
  readonly keys: readonly Listed[];
  /** hashes of which its maker does not know what was held: what it does not list of them says nothing */
  readonly lost: ReadonlySet<bigint>;
  /** undefined: nothing comes behind */
  readonly next: bigint | undefined;
}

/** A question of one that catches up. */
export interface AskedPage {
  readonly partition: number;
  readonly line: number;
  /** of the asked, and of the asker */
  readonly slot: number;
  readonly askerSlot: number;
  readonly rules: bigint;
  readonly what:
    | { readonly kind: "list"; readonly from: bigint }
    | { readonly kind: "fetch"; readonly keys: readonly unknown[] };
}

const LIST_HEADER_BYTES = 18;
const MAX_ADDRESS_BYTES = 64 + MAX_KEY_BYTES;

/** The page for the wire. */
export function encodePage(page: {
  readonly keys: readonly { readonly hash: bigint; readonly digest: bigint; readonly key: Uint8Array }[];
  readonly lost: readonly bigint[];
  readonly next: bigint | undefined;
}): Readonly<Record<string, unknown>> {
  const listed = Buffer.concat(
    page.keys.flatMap(({ hash, digest, key }) => {
      const head = Buffer.alloc(LIST_HEADER_BYTES);
      head.writeBigUInt64BE(hash, 0);
      head.writeBigUInt64BE(digest, 8);
      head.writeUInt16BE(key.length, 16);
      return [head, key];
    }),
  );
  const next = page.next === undefined ? {} : { next: hexOf(page.next) };
  return { listed, lost: page.lost.map(hexOf), ...next };
}

/** The page in an answer, or undefined; so is one without `lost`: versions that left it out named none where they named nothing. */
export function parsePage(body: unknown): Page | undefined {
  const fields = fieldsOf(body);
  const bytes = bufferOf(fields?.["listed"]);
  const next = fields?.["next"] === undefined ? undefined : parseHex(fields["next"]);
  if (bytes === undefined || (next === undefined && fields?.["next"] !== undefined)) return undefined;
  const keys: Listed[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (at + LIST_HEADER_BYTES > bytes.length) return undefined;
    const keyBytes = bytes.readUInt16BE(at + 16);
    const end = at + LIST_HEADER_BYTES + keyBytes;
    if (keyBytes > MAX_ADDRESS_BYTES || end > bytes.length) return undefined;
    const key = Buffer.from(bytes.subarray(at + LIST_HEADER_BYTES, end));
    keys.push({ hash: bytes.readBigUInt64BE(at), digest: bytes.readBigUInt64BE(at + 8), key });
    at = end;
  }
  const lost = parseLost(fields?.["lost"]);
  return lost === undefined ? undefined : { keys, lost, next };
}

/** The question in a body, or undefined. */
export function parseAsked(body: unknown): AskedPage | undefined {
  const fields = fieldsOf(body);
  if (fields === undefined) return undefined;
  const [partition, line, slot, askerSlot] = ["partition", "line", "peerSlot", "ownSlot"].map((name) =>
    countOf(fields[name]),
  );
  const rules = parseHex(fields["rules"]);
  if (partition === undefined || line === undefined || rules === undefined) return undefined;
  if (slot === undefined || askerSlot === undefined) return undefined;
  const from = parseHex(fields["from"]);
  if (from !== undefined) return { partition, line, slot, askerSlot, rules, what: { kind: "list", from } };
  const keys: unknown = fields["keys"];
  if (!Array.isArray(keys) || keys.length > CATCH_UP_KEYS) return undefined;
  return { partition, line, slot, askerSlot, rules, what: { kind: "fetch", keys } };
}

function parseLost(value: unknown): ReadonlySet<bigint> | undefined {
  if (!Array.isArray(value)) return undefined;
  const hashes = value.map(parseHex);
  return hashes.includes(undefined) ? undefined : new Set(hashes.filter((hash) => hash !== undefined));
}
