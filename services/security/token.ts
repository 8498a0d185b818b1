/**
 * API tokens as texts: `gyre_`, a public id of 12 characters, `_`, 43 characters of secret (256 random bits). Pure.
 * Must never compare secrets in a time that depends on where they differ.
 *
 * Only the SHA-256 of a token is kept in files. A slow hash guards short secrets against guessing; this one cannot be guessed.
 * The id is looked up, so that no time depends on other tokens; the fixed beginning lets scanners find tokens that leaked.
 */
import { hash, timingSafeEqual } from "node:crypto";

/** A token for people to hand on, and what a tokens file keeps of it. */
export interface NewToken {
  readonly text: string;
  readonly id: string;
  /** 64 hex digits */
  readonly sha256: string;
}

/** Random bytes that a new token takes. */
export const TOKEN_RANDOM_BYTES: number = 9 + 32;

const SCHEME = "bearer ";
const START = "gyre_";
const ID_CHARS = 12;
const SECRET_CHARS = 43;
const ID_AT = START.length;
/** characters of every token */
const TOKEN_CHARS: number = ID_AT + ID_CHARS + 1 + SECRET_CHARS;
/** One header at a time, so that comparing takes no memory. */
const HEADER: Buffer = Buffer.alloc(SCHEME.length + TOKEN_CHARS);
const SHOWN: Buffer = HEADER.subarray(SCHEME.length);
const ID = /^[A-Za-z0-9-]{12}$/;

/** Makes a token of `TOKEN_RANDOM_BYTES` unpredictable bytes. */
export function tokenOf(random: Uint8Array): NewToken {
  const bytes = Buffer.from(random);
  const id = bytes.subarray(0, 9).toString("base64url").replaceAll("_", "-");
  const text = `${START}${id}_${bytes.subarray(9).toString("base64url")}`;
  return { text, id, sha256: sha256Of(text) };
}

/** What a tokens file keeps of a token. */
export function sha256Of(token: string): string {
  return hash("sha256", token, "hex");
}

/** Whether the text may be a token's id. */
export function isTokenId(text: string): boolean {
  return ID.test(text);
}

/** The id of the token in an `Authorization` header of the scheme Bearer; undefined when there is none of ours. */
export function presentedId(header: string): string | undefined {
  if (header.length !== SCHEME.length + TOKEN_CHARS) return undefined;
  const isBearer = header.startsWith("Bearer ") || header.slice(0, SCHEME.length).toLowerCase() === SCHEME;
  if (!isBearer || !header.startsWith(START, SCHEME.length)) return undefined;
  const at = SCHEME.length + ID_AT;
  return header[at + ID_CHARS] === "_" ? header.slice(at, at + ID_CHARS) : undefined;
}

/** The token in a header of which `presentedId` found the id. */
export function presentedToken(header: string): string {
  return header.slice(SCHEME.length);
}

/** A token as `carriesToken` compares it. */
export function tokenBytes(token: string): Uint8Array {
  return Buffer.from(token, "latin1");
}

/** Whether a header of which `presentedId` found the id carries this very token, in a time that depends on lengths alone. */
export function carriesToken(header: string, token: Uint8Array): boolean {
  HEADER.write(header, "latin1");
  return token.length === SHOWN.length && timingSafeEqual(SHOWN, token);
}
