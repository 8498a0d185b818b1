/**
 * What a holder says of what it has of a partition: up to where it took part in collecting, while it read what it gives. Said with
 * the records themselves, not when they have come: who was behind when it read a value that was deleted may have caught up since,
 * and would be believed for what it holds no more. Pure.
 */

/** Of one holder and one partition. */
export interface CollectWord {
  /** counter: it took part in the collection up to here, and nothing that it holds is in doubt */
  readonly floor: number;
  /** fingerprint of the rules under which that was noted */
  readonly rules: bigint;
}

/** A node's own word, and what others' make of what comes with them. */
export interface CollectWords {
  /** what may be said of what is held of the partition now; undefined: nothing */
  wordOf(partition: number): CollectWord | undefined;
  /** whether what comes with the word stands here, however old */
  believes(word: CollectWord | undefined, partition: number): boolean;
}

/** What holds for records that were read between two words; undefined: nothing. */
export function wordOver(before: CollectWord | undefined, after: CollectWord | undefined): CollectWord | undefined {
  if (before === undefined || after === undefined || before.rules !== after.rules) return undefined;
  return before.floor <= after.floor ? before : after;
}

/** Whether records that come with the word stand however old they are, where the line and the rules are these. */
export function isBelieved(word: CollectWord | undefined, line: number, rules: bigint): boolean {
  if (line === 0) return true;
  return word !== undefined && word.rules === rules && word.floor >= line;
}
