/**
 * What a PUT's body is stored as: JSON checked and kept as sent, anything else opaque with its type. Pure.
 * Must never change a byte of a value, nor store JSON that does not parse: the envelope splices it in as it is.
 */
import { isUtf8 } from "node:buffer";
import { MAX_CONTENT_TYPE_BYTES, MAX_VALUE_BYTES } from "../base/limits.ts";
import type { Failure } from "../coordinator/contract.ts";
import { refusal } from "./problem.ts";

/** A value that may be stored. */
export interface Value {
  readonly kind: "value";
  readonly contentType: string;
  readonly bytes: Uint8Array;
}

const JSON_TYPE = "application/json";
const OPAQUE = "application/octet-stream";
const TYPE = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+\/[!#$%&'*+.^_`|~0-9A-Za-z-]+[ \t]*(;[ -~\t]*)?$/;
const CHARSET = /;[ \t]*charset[ \t]*=[ \t]*"?([^";\s]*)/i;

/** The media type without parameters, in lower case. */
export function essenceOf(contentType: string): string {
  const end = contentType.indexOf(";");
  return (end === -1 ? contentType : contentType.slice(0, end)).trim().toLowerCase();
}

/** Whether the envelope shows values of this type as `value`; all others appear as `base64`. */
export function isJsonType(contentType: string): boolean {
  return contentType === JSON_TYPE || essenceOf(contentType) === JSON_TYPE;
}

/** The value in a body of the declared type, or why it cannot be stored. O(length). */
export function valueOf(contentType: string | undefined, bytes: Buffer): Value | Failure {
  if (bytes.length > MAX_VALUE_BYTES) {
    return refusal("value_too_large", `the value has ${bytes.length} bytes; the limit is ${MAX_VALUE_BYTES}`, {
      limitBytes: MAX_VALUE_BYTES,
      sizeBytes: bytes.length,
    });
  }
  if (contentType === JSON_TYPE) return jsonValue(contentType, bytes);
  if (contentType === undefined || contentType === "") return { kind: "value", contentType: OPAQUE, bytes };
  if (contentType.length > MAX_CONTENT_TYPE_BYTES || !TYPE.test(contentType)) {
    return refusal("unsupported_media_type", "the content type is not type/subtype in at most 255 characters");
  }
  const essence = essenceOf(contentType);
  if (essence === JSON_TYPE) return jsonValue(contentType, bytes);
  if (essence === "application/x-www-form-urlencoded") return formValue(bytes);
  if (essence === "multipart/form-data") {
    return refusal(
      "unsupported_media_type",
      "a form with parts is not a value; send the bytes alone: curl -T FILE, or --data-binary @FILE with -H 'content-type: …'",
    );
  }
  return { kind: "value", contentType, bytes };
}

function jsonValue(contentType: string, bytes: Buffer): Value | Failure {
  const charset = contentType === JSON_TYPE ? undefined : CHARSET.exec(contentType)?.[1]?.toLowerCase();
  if (charset !== undefined && charset !== "utf-8" && charset !== "utf8") {
    return refusal("unsupported_media_type", "JSON is stored as UTF-8; send it as application/json in UTF-8");
  }
  const flaw = jsonFlaw(bytes);
  return flaw === undefined ? { kind: "value", contentType, bytes } : refusal("invalid_request", flaw);
}

/** curl -d says "form" whatever it sends; what parses as JSON is taken as that. */
function formValue(bytes: Buffer): Value | Failure {
  if (jsonFlaw(bytes) === undefined) return { kind: "value", contentType: JSON_TYPE, bytes };
  return refusal(
    "unsupported_media_type",
    "a form body (curl -d) is taken when it is JSON, and this is not; send JSON, or name the type: -H 'content-type: text/plain'",
  );
}

/** Why the bytes are not a JSON text, in words; undefined when they are. */
function jsonFlaw(bytes: Buffer): string | undefined {
  if (bytes.length === 0) return "the body is empty, and an empty body is not JSON";
  if (!isUtf8(bytes)) return "the body is said to be JSON but is not UTF-8";
  try {
    JSON.parse(bytes.toString("utf8"));
    return undefined;
  } catch (error) {
    // The parser quotes the text near the flaw; only its first words are passed on, values never reach a log.
    return `the body is said to be JSON but does not parse: ${error instanceof Error ? error.message.slice(0, 120) : "syntax"}`;
  }
}
