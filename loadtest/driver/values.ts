/**
 * What is written: a JSON record that names the one write that it came from, filled up to its size with text that follows from
 * that name, so that a value that is read back can be told to be whole. Pure.
 */

/** Of YCSB's records: ten fields. */
const FIELD_COUNT = 10;
const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const OVERHEAD_BYTES = 24 + FIELD_COUNT * 12;
const PRIME = 7_919;

function fillerOf(sizeBytes: number): string {
  let state = 12_345;
  const letters: string[] = [];
  for (let i = 0; i < sizeBytes; i += 1) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    letters.push(LETTERS[(state >>> 16) % LETTERS.length] ?? "A");
  }
  return letters.join("");
}

/** Makes and checks values of about so many bytes. */
export class Values {
  readonly #filler: string;
  readonly #fieldBytes: number;

  constructor(valueBytes: number) {
    this.#fieldBytes = Math.max(1, Math.floor((valueBytes - OVERHEAD_BYTES) / FIELD_COUNT));
    this.#filler = fillerOf(this.#fieldBytes + PRIME);
  }

  /** The body of the write of that name. */
  bodyOf(id: string): string {
    const from = this.#startOf(id);
    const field = this.#filler.slice(from, from + this.#fieldBytes);
    const fields = Array.from({ length: FIELD_COUNT }, (_, i) => `"field${i}":"${field}"`);
    return `{"id":"${id}",${fields.join(",")}}`;
  }

  /** The write that a value names; undefined when it names none, or when it is not whole. */
  idOf(value: unknown): string | undefined {
    if (typeof value !== "object" || value === null || !("id" in value) || typeof value.id !== "string")
      return undefined;
    const record: Readonly<Record<string, unknown>> = { ...value };
    const from = this.#startOf(value.id);
    const field = this.#filler.slice(from, from + this.#fieldBytes);
    for (let i = 0; i < FIELD_COUNT; i += 1) if (record[`field${i}`] !== field) return undefined;
    return value.id;
  }

  #startOf(id: string): number {
    return (Number.parseInt(id.slice(1), 10) * 31) % PRIME;
  }
}
