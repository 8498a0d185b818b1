/**
 * The tokens file (`GYRE_TOKENS_FILE`): principals, what they may do, and the hashes of their tokens. Pure. Must never let anything
 * pass that it did not understand, and never quote a hash: what is wrong is told by its place.
 *
 *   {"principals":[{"name":"shop","grants":[{"rights":["read","write"],"buckets":["carts*"]}],
 *                   "tokens":[{"id":"k3Jf-8aQw2Zx","sha256":"…","expires":"2027-01-01T00:00:00Z"}]}]}
 */
import {
  MAX_PATTERNS_PER_PRINCIPAL,
  MAX_PRINCIPALS,
  MAX_TOKENS,
  MAX_TOKENS_FILE_BYTES,
} from "../base/security-limits.ts";
import { isoDateMs } from "./iso-date.ts";
import { repeatedName } from "./repeated-names.ts";
import {
  type BucketGrant,
  type BucketRight,
  type Caller,
  GrantedCaller,
  isBucketPattern,
  isBucketRight,
  type NodeRight,
  parseRight,
} from "./rights.ts";
import { isTokenId } from "./token.ts";

/** One token that may be shown, and whose it is. */
export interface TokenEntry {
  readonly id: string;
  /** of the whole token, 32 bytes */
  readonly sha256: Uint8Array;
  /** ∞: never */
  readonly expiresAtMs: number;
  readonly caller: Caller;
}

/** What a tokens file says, or all that is wrong with it. */
export type TokensFile =
  | { readonly kind: "tokens"; readonly entries: readonly TokenEntry[]; readonly principalCount: number }
  | { readonly kind: "problems"; readonly problems: readonly string[] };

type Fields = Readonly<Record<string, unknown>>;

const NAME = /^[A-Za-z0-9][A-Za-z0-9._@/-]{0,62}$/;
const SHA256 = /^[0-9a-f]{64}$/;

/** Reads the text of a tokens file; finds every problem before it reports any. */
export function readTokensFile(text: string): TokensFile {
  if (text.length > MAX_TOKENS_FILE_BYTES) return refused(`is longer than ${MAX_TOKENS_FILE_BYTES} characters`);
  const parsed = parseJson(text);
  if (parsed === undefined) return refused("is not JSON");
  const twice = repeatedName(text);
  if (twice !== undefined) return refused(`has "${twice.slice(0, 64)}" twice in one object`);
  const reading = new Reading();
  reading.file(parsed);
  const { problems, entries, names } = reading;
  return problems.length > 0 ? { kind: "problems", problems } : { kind: "tokens", entries, principalCount: names.size };
}

function refused(problem: string): TokensFile {
  return { kind: "problems", problems: [problem] };
}

function parseJson(text: string): unknown {
  try {
    const parsed: unknown = JSON.parse(text);
    return parsed;
  } catch (error) {
    // The parser's words quote the text, in which a clear token may stand by mistake.
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** One reading of a file: gathers what holds and what is wrong. */
class Reading {
  readonly problems: string[] = [];
  readonly entries: TokenEntry[] = [];
  readonly names = new Set<string>();
  readonly #ids = new Set<string>();

  file(parsed: unknown): void {
    const fields = this.#object(parsed, "the file", ["principals"]);
    const principals = this.#list(fields?.["principals"], "principals", MAX_PRINCIPALS);
    for (const [index, one] of principals.entries()) this.#principal(one, `principals[${index}]`);
    // Deny by default must not become "nobody ever noticed": a file without tokens is a mistake.
    if (this.problems.length === 0 && this.entries.length === 0)
      this.problems.push("has no token: nobody could come in");
  }

  #principal(parsed: unknown, at: string): void {
    const fields = this.#object(parsed, at, ["name", "grants", "tokens"]);
    if (fields === undefined) return;
    const { name } = fields;
    if (typeof name !== "string" || !NAME.test(name)) {
      this.problems.push(`${at}.name: is 1–63 of letters, digits, and . _ @ / -, a letter or digit first`);
      return;
    }
    if (this.names.has(name)) this.problems.push(`${at}.name: there is another principal ${name}`);
    this.names.add(name);
    const grants: BucketGrant[] = [];
    const nodeRights: NodeRight[] = [];
    for (const [index, one] of this.#list(fields["grants"], `${at}.grants`, MAX_PATTERNS_PER_PRINCIPAL).entries()) {
      this.#grant(one, `${at}.grants[${index}]`, { grants, nodeRights });
    }
    const caller = new GrantedCaller(name, grants, nodeRights);
    const tokens = this.#list(fields["tokens"], `${at}.tokens`, MAX_TOKENS);
    for (const [index, one] of tokens.entries()) this.#token(one, `${at}.tokens[${index}]`, caller);
  }

  #grant(
    parsed: unknown,
    at: string,
    into: { readonly grants: BucketGrant[]; readonly nodeRights: NodeRight[] },
  ): void {
    const fields = this.#object(parsed, at, ["rights", "buckets"]);
    if (fields === undefined) return;
    const bucketRights: BucketRight[] = [];
    const nodeRights: NodeRight[] = [];
    for (const word of this.#list(fields["rights"], `${at}.rights`, 16)) {
      const right = typeof word === "string" ? parseRight(word) : undefined;
      if (right === undefined) this.problems.push(`${at}.rights: are read, write, list, admin, operate, metrics`);
      else if (isBucketRight(right)) bucketRights.push(right);
      else nodeRights.push(right);
    }
    if (fields["buckets"] === undefined) {
      if (bucketRights.length > 0) this.problems.push(`${at}.buckets: is needed with ${bucketRights.join(", ")}`);
    } else if (nodeRights.length > 0) {
      this.problems.push(`${at}.buckets: ${nodeRights.join(", ")} hold for the whole cluster: give a grant of its own`);
    } else {
      const buckets = this.#patterns(fields["buckets"], `${at}.buckets`);
      if (buckets.length > 0) into.grants.push({ rights: bucketRights, buckets });
    }
    into.nodeRights.push(...nodeRights);
  }

  #patterns(parsed: unknown, at: string): readonly string[] {
    return this.#list(parsed, at, MAX_PATTERNS_PER_PRINCIPAL).flatMap((pattern) => {
      if (typeof pattern === "string" && isBucketPattern(pattern)) return [pattern];
      this.problems.push(`${at}: are bucket names, or their beginnings with * at the end`);
      return [];
    });
  }

  #token(parsed: unknown, at: string, caller: Caller): void {
    const fields = this.#object(parsed, at, ["id", "sha256", "expires"]);
    if (fields === undefined) return;
    const { id, sha256, expires } = fields;
    const before = this.problems.length;
    if (typeof id !== "string" || !isTokenId(id)) this.problems.push(`${at}.id: is not the id of a token`);
    else if (this.#ids.has(id)) this.problems.push(`${at}.id: another token has it`);
    else this.#ids.add(id);
    if (typeof sha256 !== "string" || !SHA256.test(sha256)) {
      this.problems.push(`${at}.sha256: is not a SHA-256 in 64 small hex digits; never write the token itself`);
    }
    const expiresAtMs = expires === undefined ? Number.POSITIVE_INFINITY : dateMs(expires);
    if (expiresAtMs === undefined)
      this.problems.push(`${at}.expires: is a date like 2027-01-31 or 2027-01-31T12:00:00Z`);
    if (this.#ids.size > MAX_TOKENS) this.problems.push(`${at}: is one of more than ${MAX_TOKENS} tokens`);
    if (this.problems.length > before || expiresAtMs === undefined) return;
    this.entries.push({ id: String(id), sha256: Buffer.from(String(sha256), "hex"), expiresAtMs, caller });
  }

  #object(parsed: unknown, at: string, known: readonly string[]): Fields | undefined {
    if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
      this.problems.push(`${at}: is not a JSON object`);
      return undefined;
    }
    const fields = new Map<string, unknown>(Object.entries(parsed));
    for (const name of fields.keys()) {
      if (!known.includes(name)) this.problems.push(`${at}: has "${name.slice(0, 64)}"; known: ${known.join(", ")}`);
    }
    return Object.fromEntries(known.map((name) => [name, fields.get(name)]));
  }

  #list(parsed: unknown, at: string, most: number): readonly unknown[] {
    if (Array.isArray(parsed) && parsed.length > 0 && parsed.length <= most) return parsed;
    this.problems.push(`${at}: is a list of 1 to ${most}`);
    return [];
  }
}

function dateMs(parsed: unknown): number | undefined {
  return typeof parsed === "string" ? isoDateMs(parsed) : undefined;
}
