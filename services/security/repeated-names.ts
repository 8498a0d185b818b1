/**
 * Names that come twice in one object of a JSON text. `JSON.parse` takes the last of them and says nothing, so two readers of one
 * file can see two things (CouchDB CVE-2017-12635). Pure. Must only be given text that `JSON.parse` took.
 */

/** The first name that its object has twice; undefined when there is none. O(length). */
export function repeatedName(text: string): string | undefined {
  const seen: (Set<string> | undefined)[] = [];
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at];
    if (char === "{") seen.push(new Set());
    else if (char === "[") seen.push(undefined);
    else if (char === "}" || char === "]") seen.pop();
    if (char !== '"') continue;
    const end = endOfString(text, at);
    const names = seen.at(-1);
    const name = names !== undefined && isName(text, end) ? String(JSON.parse(text.slice(at, end))) : undefined;
    if (name !== undefined && names?.has(name) === true) return name;
    if (name !== undefined) names?.add(name);
    at = end - 1;
  }
  return undefined;
}

function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (text[at] !== '"' && at < text.length) at += text[at] === "\\" ? 2 : 1;
  return at + 1;
}

function isName(text: string, end: number): boolean {
  let at = end;
  while (" \n\r\t".includes(text[at] ?? "x")) at += 1;
  return text[at] === ":";
}
