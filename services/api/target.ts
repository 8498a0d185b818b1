/**
 * Bucket and key out of the request target, read from the raw bytes and percent-decoded exactly once: the router's own
 * decoding is never used. Pure. Must never map two different targets that name different keys to one, nor cut a key.
 */
import { type BucketName, parseBucketName } from "../base/ids.ts";
import { MAX_KEY_BYTES } from "../base/limits.ts";
import type { Failure, KeyName } from "../coordinator/contract.ts";
import { percentDecoded, utf8Text } from "./percent.ts";
import { refusal } from "./problem.ts";
import { shown } from "./query.ts";

/** One key as the client named it. */
export interface KeyTarget {
  readonly kind: "key";
  readonly name: KeyName;
  readonly keyText: string;
  /** what follows the `?`, undecoded */
  readonly query: string;
}

/** One bucket as the client named it. */
export interface BucketTarget {
  readonly kind: "bucket";
  readonly bucket: BucketName;
  readonly query: string;
}

/** What follows the `?` of a target, undecoded; empty when there is none. */
export function queryOf(url: string | undefined): string {
  const mark = url === undefined ? -1 : url.indexOf("?");
  return url === undefined || mark === -1 ? "" : url.slice(mark + 1);
}

/** The key in `url`, whose path is `prefix`, bucket, `/`, key. */
export function keyTarget(url: string | undefined, prefix: string): KeyTarget | Failure {
  const rest = restOf(url, prefix);
  if (typeof rest !== "string") return rest;
  const mark = rest.indexOf("?");
  const path = mark === -1 ? rest : rest.slice(0, mark);
  const slash = path.indexOf("/");
  if (slash === -1) return refusal("no_such_route", "the path has a bucket but no key");
  const bucket = bucketNamed(path.slice(0, slash));
  if (typeof bucket !== "string") return bucket;
  const segment = path.slice(slash + 1);
  if (segment.includes("/")) {
    return refusal("invalid_request", "a / in a key is written %2F", { parameter: "key" });
  }
  const bytes = percentDecoded(segment);
  if (bytes === undefined) {
    return refusal("invalid_request", "the key has a broken percent escape; a % in a key is written %25", {
      parameter: "key",
    });
  }
  const key = checkedKey(bytes);
  if (key.kind === "failed") return key;
  return {
    kind: "key",
    name: { bucket, key: bytes },
    keyText: key.text,
    query: mark === -1 ? "" : rest.slice(mark + 1),
  };
}

/** The bucket in `url`, whose path is `prefix`, bucket, and anything behind a `/`: what the other two functions here find. */
export function bucketIn(url: string | undefined, prefix: string): BucketName | Failure {
  const rest = restOf(url, prefix);
  if (typeof rest !== "string") return rest;
  const slash = rest.indexOf("/");
  const path = slash === -1 ? rest : rest.slice(0, slash);
  const mark = path.indexOf("?");
  return bucketNamed(mark === -1 ? path : path.slice(0, mark));
}

/** The bucket in `url`, whose path is `prefix`, bucket, `suffix`. */
export function bucketTarget(url: string | undefined, prefix: string, suffix = ""): BucketTarget | Failure {
  const rest = restOf(url, prefix);
  if (typeof rest !== "string") return rest;
  const mark = rest.indexOf("?");
  const path = mark === -1 ? rest : rest.slice(0, mark);
  const decoded = suffix === "" ? path : path.replace(/%3a/i, ":");
  if (!decoded.endsWith(suffix)) return refusal("no_such_route", `expected a bucket and ${suffix} here`);
  const bucket = bucketNamed(decoded.slice(0, decoded.length - suffix.length));
  if (typeof bucket !== "string") return bucket;
  return { kind: "bucket", bucket, query: mark === -1 ? "" : rest.slice(mark + 1) };
}

/** The key's text, or why the bytes are no key: 1 … 1024 bytes of UTF-8 without NUL. */
export function checkedKey(bytes: Uint8Array): { readonly kind: "text"; readonly text: string } | Failure {
  if (bytes.length === 0) return refusal("invalid_request", "the key is empty", { parameter: "key" });
  if (bytes.length > MAX_KEY_BYTES) {
    return refusal("invalid_request", `the key has ${bytes.length} bytes; the limit is ${MAX_KEY_BYTES}`, {
      parameter: "key",
      limitBytes: MAX_KEY_BYTES,
      sizeBytes: bytes.length,
    });
  }
  const text = utf8Text(bytes);
  if (text === undefined) return refusal("invalid_request", "the key is not UTF-8", { parameter: "key" });
  if (text.includes("\0")) return refusal("invalid_request", "the key contains a NUL character", { parameter: "key" });
  return { kind: "text", text };
}

function restOf(url: string | undefined, prefix: string): string | Failure {
  const target = url === undefined ? "" : originForm(url);
  if (!target.startsWith(prefix)) return refusal("no_such_route", "write the fixed parts of the path without escapes");
  if (target.includes("#")) {
    return refusal("invalid_request", "a # in a key is written %23", { parameter: "key" });
  }
  return target.slice(prefix.length);
}

/** Proxies may send `GET http://host/path`; the router takes it, so this does too. */
function originForm(url: string): string {
  if (url.startsWith("/")) return url;
  const scheme = url.indexOf("://");
  const path = scheme === -1 ? -1 : url.indexOf("/", scheme + 3);
  return path === -1 ? "/" : url.slice(path);
}

function bucketNamed(segment: string): BucketName | Failure {
  const direct = parseBucketName(segment);
  if (direct !== undefined) return direct;
  const bytes = percentDecoded(segment);
  const text = bytes === undefined ? undefined : utf8Text(bytes);
  const bucket = text === undefined ? undefined : parseBucketName(text);
  if (bucket !== undefined) return bucket;
  const rule = "a bucket is 1 to 63 characters of a-z 0-9 . _ -, starting with a letter or digit";
  return refusal("invalid_request", `${rule}; not ${shown(text ?? segment)}`, { parameter: "bucket" });
}
