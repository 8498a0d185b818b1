/**
 * What a setting or a query parameter may be, as data: parsers take their bounds and names from here, and the OpenAPI document is
 * made of the same rules. Pure. Must never hold a number that `base/limits.ts` does not.
 */

/** A whole number, `fallback` when it is left out. */
export interface IntegerRule {
  readonly kind: "integer";
  readonly min: number;
  readonly max: number;
  readonly fallback?: number;
}

/** One of some words. */
export interface ChoiceRule<Word extends string = string> {
  readonly kind: "choice";
  readonly words: readonly Word[];
  readonly fallback?: string;
}

/** A text: at most so many bytes of UTF-8, of this form. */
export interface TextRule {
  readonly kind: "text";
  readonly maxBytes?: number;
  readonly pattern?: RegExp;
}

/** What one value may be. `level`: how many replicas; `flag`: present or not, whatever its value; `true`: nothing else. */
export type ValueRule =
  | IntegerRule
  | ChoiceRule
  | TextRule
  | { readonly kind: "boolean"; readonly fallback: boolean }
  | { readonly kind: "true" }
  | { readonly kind: "level" }
  | { readonly kind: "flag" };

/** The word in `value` that the rule knows; undefined for anything else. */
export function wordOf<Word extends string>(rule: ChoiceRule<Word>, value: unknown): Word | undefined {
  return rule.words.find((word) => word === value);
}

/** The words of a rule, for a sentence: `a, b or c`. */
export function wordsText({ words }: Pick<ChoiceRule, "words">): string {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
}
