/**
 * The part of Go's templates that the chart uses, so that it can be rendered without Helm: conditions, ranges over mappings, values,
 * `quote`, `not`, `and`, `or`. Whatever else is in a template is an error. Source: Go, package text/template.
 */
import { at, type Fields, isFields, type Tree } from "../../services/cli/manifests/yaml-text.ts";

type Part = { readonly kind: "text"; readonly text: string } | { readonly kind: "action"; readonly words: string };

interface Scope {
  readonly values: Fields;
  readonly variables: Readonly<Record<string, Tree>>;
}

/** The text that a template makes of values. Throws for what it does not understand. */
export function renderTemplate(template: string, values: Fields): string {
  const parts = partsOf(template);
  const reader = new TemplateReader(parts);
  return reader.block({ values, variables: {} }, true, []);
}

function partsOf(template: string): readonly Part[] {
  const parts: Part[] = [];
  const action = /\{\{(-?)\s*([\s\S]*?)\s*(-?)\}\}/g;
  let end = 0;
  let isTrimming = false;
  for (const match of template.matchAll(action)) {
    const [whole, left, words = "", right] = match;
    let text = template.slice(end, match.index);
    if (isTrimming) text = text.trimStart();
    if (left === "-") text = text.trimEnd();
    parts.push({ kind: "text", text }, { kind: "action", words });
    isTrimming = right === "-";
    end = match.index + whole.length;
  }
  const rest = template.slice(end);
  parts.push({ kind: "text", text: isTrimming ? rest.trimStart() : rest });
  return parts;
}

class TemplateReader {
  readonly #parts: readonly Part[];
  #next = 0;

  constructor(parts: readonly Part[]) {
    this.#parts = parts;
  }

  /** Text up to one of the words; what is not live is read over. */
  block(scope: Scope, isLive: boolean, ends: readonly string[]): string {
    let text = "";
    for (let part = this.#take(); part !== undefined; part = this.#take()) {
      if (part.kind === "text") text += isLive ? part.text : "";
      else if (ends.includes(part.words)) return text;
      else text += this.#action(part.words, scope, isLive);
    }
    if (ends.length > 0) throw new Error(`{{ ${ends.join(" or ")} }} is missing`);
    return text;
  }

  #take(): Part | undefined {
    const part = this.#parts[this.#next];
    this.#next += 1;
    return part;
  }

  #action(words: string, scope: Scope, isLive: boolean): string {
    const [, condition] = /^if (.+)$/.exec(words) ?? [];
    if (condition !== undefined) return this.#choice(isTrue(valueOf(condition, scope)), scope, isLive);
    const [, key, item, list] = /^range \$(\w+), \$(\w+) := (.+)$/.exec(words) ?? [];
    if (key !== undefined && item !== undefined && list !== undefined) {
      return this.#range({ key, item, list: valueOf(list, scope) }, scope, isLive);
    }
    return isLive ? shownText(valueOf(words, scope)) : "";
  }

  #choice(isHeld: boolean, scope: Scope, isLive: boolean): string {
    const start = this.#next;
    const first = this.block(scope, isLive && isHeld, ["else", "end"]);
    const ended = this.#parts[this.#next - 1];
    const isOver = ended?.kind === "action" && ended.words === "end";
    if (this.#next <= start) throw new Error("an empty condition");
    return isOver ? first : first + this.block(scope, isLive && !isHeld, ["end"]);
  }

  #range(
    { key, item, list }: { readonly key: string; readonly item: string; readonly list: Tree },
    scope: Scope,
    isLive: boolean,
  ): string {
    const start = this.#next;
    const entries = isFields(list) ? Object.entries(list).toSorted(([a], [b]) => (a < b ? -1 : 1)) : [];
    let text = "";
    for (const [name, value] of entries) {
      this.#next = start;
      text += this.block({ ...scope, variables: { ...scope.variables, [key]: name, [item]: value } }, isLive, ["end"]);
    }
    if (entries.length === 0) this.block(scope, false, ["end"]);
    return text;
  }
}

function valueOf(words: string, scope: Scope): Tree {
  const [, piped] = /^(.+?) \| quote$/.exec(words) ?? [];
  if (piped !== undefined) return JSON.stringify(shownText(valueOf(piped, scope)));
  const [, denied] = /^not (.+)$/.exec(words) ?? [];
  if (denied !== undefined) return !isTrue(valueOf(unwrapped(denied), scope));
  const [, joint, rest] = /^(and|or) (.+)$/.exec(words) ?? [];
  if (joint !== undefined && rest !== undefined) {
    const held = (rest.match(/\([^()]+\)|\S+/g) ?? []).map((one) => isTrue(valueOf(unwrapped(one), scope)));
    return joint === "and" ? held.every(Boolean) : held.some(Boolean);
  }
  if (/^"[^"]*"$/.test(words)) return words.slice(1, -1);
  if (/^\$\w+$/.test(words)) return scope.variables[words.slice(1)] ?? null;
  if (!/^\.Values(?:\.\w+)+$/.test(words)) throw new Error(`{{ ${words} }} is not understood`);
  const found = at(scope.values, ...words.slice(".Values.".length).split("."));
  if (found === undefined) throw new Error(`${words}: there is no such value`);
  return found;
}

function unwrapped(words: string): string {
  return words.replace(/^\((.+)\)$/, "$1");
}

function isTrue(value: Tree): boolean {
  return !(
    value === false ||
    value === null ||
    value === 0 ||
    value === "" ||
    (Array.isArray(value) && value.length === 0)
  );
}

function shownText(value: Tree): string {
  if (typeof value === "string") return value;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  throw new Error("only text, numbers and truths can be shown");
}
