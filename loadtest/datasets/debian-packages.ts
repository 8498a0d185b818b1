/**
 * Real input: the package index of a Debian system as NDJSON, one JSON object per record with the fields as they stand
 * there. `node loadtest/datasets/debian-packages.ts > packages.ndjson` (needs `apt-cache`; about 60,000 records).
 */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** One stanza of the index as an object: field names as written, continuation lines joined by a line break. */
export function recordOf(lines: readonly string[]): Readonly<Record<string, string>> {
  const fields: Record<string, string> = {};
  let last = "";
  for (const line of lines) {
    if (line.startsWith(" ")) {
      fields[last] = `${fields[last]}\n${line.slice(1)}`;
      continue;
    }
    const colon = line.indexOf(":");
    last = line.slice(0, colon);
    fields[last] = line.slice(colon + 1).trim();
  }
  return fields;
}

/** Writes the whole index to `output`, waiting whenever it is full; resolves with the number of records. */
export async function writeDebianPackages(output: NodeJS.WritableStream): Promise<number> {
  const child = spawn("apt-cache", ["dumpavail"], { stdio: ["ignore", "pipe", "inherit"] });
  let stanza: string[] = [];
  let recordCount = 0;
  const flush = async (): Promise<void> => {
    if (stanza.length === 0) return;
    const isRoom = output.write(`${JSON.stringify(recordOf(stanza))}\n`);
    stanza = [];
    recordCount += 1;
    if (!isRoom) await new Promise((resolve) => output.once("drain", resolve));
  };
  for await (const line of createInterface({ input: child.stdout })) {
    if (line === "") await flush();
    else stanza.push(line);
  }
  await flush();
  return recordCount;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const recordCount = await writeDebianPackages(process.stdout);
  process.stderr.write(`${recordCount} records\n`);
}
