/** The fields of bodies that came over a link, by what they should be. Must never throw, nor believe a type. */

/** The fields of an object. */
export type Fields = Readonly<Record<string, unknown>>;

/** The fields of what should be an object; undefined when it is none. */
export function fieldsOf(value: unknown): Fields | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? // an object that is no array: every field is looked at before it is used
      Object.fromEntries(Object.entries(value))
    : undefined;
}

/** A view of what should be bytes; undefined when it is none. */
export function bufferOf(value: unknown): Buffer | undefined {
  return value instanceof Uint8Array ? Buffer.from(value.buffer, value.byteOffset, value.byteLength) : undefined;
}

/** What should be a whole number ≥ 0; undefined when it is none. */
export function wholeOf(value: unknown): number | undefined {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}
