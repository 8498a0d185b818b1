/**
 * Finds the parts of a JSON text without building or changing them, so that a value inside a larger document can be
 * stored exactly as it was sent (re-serializing would round long numbers and reorder nothing but still change bytes).
 * Pure. Must only be given text that `JSON.parse` took.
 */

/** A part of a text: `text.slice(start, end)`. */
export interface Slice {
  readonly start: number;
  readonly end: number;
}

/** The elements of the array that starts at or after `from`; undefined when something else starts there. O(length). */
export function elementsAt(text: string, from: number): readonly Slice[] | undefined {
  let at = skipSpace(text, from);
  if (text[at] !== "[") return undefined;
  const elements: Slice[] = [];
  at = skipSpace(text, at + 1);
  while (text[at] !== "]") {
    const end = endOfValue(text, at);
    elements.push({ start: at, end });
    at = skipSpace(text, end);
    if (text[at] === ",") at = skipSpace(text, at + 1);
  }
  return elements;
}

/** The members of the object that starts at or after `from`, the last of equal names winning; undefined for no object. O(length). */
export function membersAt(text: string, from: number): ReadonlyMap<string, Slice> | undefined {
  let at = skipSpace(text, from);
  if (text[at] !== "{") return undefined;
  const members = new Map<string, Slice>();
  at = skipSpace(text, at + 1);
  while (text[at] !== "}") {
    const nameEnd = endOfValue(text, at);
    const name = String(JSON.parse(text.slice(at, nameEnd)));
    const start = skipSpace(text, skipSpace(text, nameEnd) + 1);
    const end = endOfValue(text, start);
    members.set(name, { start, end });
    at = skipSpace(text, end);
    if (text[at] === ",") at = skipSpace(text, at + 1);
  }
  return members;
}

function skipSpace(text: string, from: number): number {
  let at = from;
  for (;;) {
    const code = text.charCodeAt(at);
    if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return at;
    at += 1;
  }
}

function endOfValue(text: string, start: number): number {
  const first = text[start];
  if (first === '"') return endOfString(text, start);
  if (first === "{" || first === "[") return endOfNested(text, start);
  let at = start;
  while (at < text.length && !",]} \n\r\t".includes(text.charAt(at))) at += 1;
  return at;
}

function endOfNested(text: string, start: number): number {
  let depth = 0;
  let at = start;
  do {
    const code = text.charCodeAt(at);
    if (code === 0x22) at = endOfString(text, at);
    else {
      if (code === 0x7b || code === 0x5b) depth += 1;
      else if (code === 0x7d || code === 0x5d) depth -= 1;
      at += 1;
    }
  } while (depth > 0 && at < text.length);
  return at;
}

function endOfString(text: string, start: number): number {
  let at = start + 1;
  for (;;) {
    const quote = text.indexOf('"', at);
    if (quote === -1) return text.length;
    let backslashes = 0;
    while (text.charCodeAt(quote - 1 - backslashes) === 0x5c) backslashes += 1;
    at = quote + 1;
    if (backslashes % 2 === 0) return at;
  }
}
