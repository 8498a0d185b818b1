/** "Did you mean …?": the closest of the names that exist. Pure; for words to people only, never for decisions. */

/** Edits that a slip of the finger makes in a name of this length. */
function allowedEdits(length: number): number {
  return length <= 4 ? 1 : Math.min(3, Math.ceil(length / 4));
}

/** The number of insertions, removals, replacements and swaps of neighbours between the two. O(a × b). */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= b.length; column += 1) {
      const isSame = a[row - 1] === b[column - 1];
      const replaced = (last[column - 1] ?? 0) + (isSame ? 0 : 1);
      let best = Math.min(replaced, (last[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1);
      const isSwap = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      if (isSwap) best = Math.min(best, (beforeLast[column - 2] ?? 0) + 1);
      current.push(best);
    }
    beforeLast = last;
    last = current;
  }
  return last[b.length] ?? 0;
}

/** The name closest to `word`, or undefined when none is close enough to be what was meant. */
export function closestName(word: string, names: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestDistance = allowedEdits(word.length) + 1;
  for (const name of names) {
    const distance = editDistance(word, name);
    if (distance < bestDistance) {
      best = name;
      bestDistance = distance;
    }
  }
  return best;
}

/** `; did you mean X?`, or nothing: to be put behind a complaint about `word`. */
export function suggestion(word: string, names: readonly string[]): string {
  const name = closestName(word, names);
  return name === undefined ? "" : `; did you mean ${name}?`;
}
