/**
 * Files of secrets that are followed while the node runs: read again when they change or when somebody says so, taken only when all
 * that they hold is right; else what held before goes on to hold, and the log says so loudly. Must never end what is under way.
 */

import type { Clock, Log, SecretFiles, Timer } from "../base/ports.ts";
import { SECRET_FILES_LOOK_MS } from "../base/security-limits.ts";
import type { NamedText } from "./tls-material.ts";

/** What some files hold together, or what is wrong. */
export type Understood<T> =
  | { readonly kind: "value"; readonly value: T }
  | { readonly kind: "problems"; readonly problems: readonly string[] };

/** A file by the setting that names it. */
export interface SecretFile {
  /** GYRE_TLS_CERT … */
  readonly variable: string;
  readonly path: string;
  readonly maxBytes: number;
}

/** What is followed. */
export interface FollowedParts<T> {
  /** for the log: tokens, tls, peer-tls */
  readonly what: string;
  readonly files: readonly SecretFile[];
  /** the texts in the order of the files */
  readonly understand: (texts: readonly NamedText[]) => Understood<T>;
  /** takes what is new; not called for the first value */
  readonly onChange: (value: T) => void;
  readonly windows: { readonly clock: Clock; readonly log: Log; readonly secretFiles: SecretFiles };
}

/** Some files that belong together. */
export class FollowedFiles<T> {
  readonly #parts: FollowedParts<T>;
  #stamps = "";
  #timer: Timer | undefined;
  #isLooking = false;
  #isAskedAgain = false;
  #rejectedCount = 0;
  /** what was wrong the last time; undefined: nothing */
  #rejected: string | undefined;

  constructor(parts: FollowedParts<T>) {
    this.#parts = parts;
  }

  /** What the files hold now, for the first time. */
  async open(): Promise<Understood<T>> {
    this.#stamps = await this.#look();
    return this.#read();
  }

  /** Looks at the files every few seconds from now on. */
  follow(): void {
    const { clock } = this.#parts.windows;
    this.#timer = clock.setTimer(SECRET_FILES_LOOK_MS, () => {
      void this.#check(false).then(() => {
        if (this.#timer !== undefined) this.follow();
      });
    });
  }

  /** Reads the files again, changed or not. */
  reload(): Promise<void> {
    return this.#check(true);
  }

  /** Looks no more. */
  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** The files hold now what could not be taken. */
  get isRejected(): boolean {
    return this.#rejected !== undefined;
  }

  /** How often something was not taken, since the start. */
  get rejectedCount(): number {
    return this.#rejectedCount;
  }

  async #check(isAsked: boolean): Promise<void> {
    if (this.#isLooking) {
      this.#isAskedAgain ||= isAsked;
      return;
    }
    this.#isLooking = true;
    try {
      const stamps = await this.#look();
      // What is wrong may become right by itself: a certificate of tomorrow, a clock that is set.
      if (isAsked || stamps !== this.#stamps || this.isRejected) await this.#take(stamps, isAsked);
    } finally {
      this.#isLooking = false;
    }
    if (!this.#isAskedAgain) return;
    this.#isAskedAgain = false;
    await this.#check(true);
  }

  async #take(stamps: string, isAsked: boolean): Promise<void> {
    const { what, files, windows, onChange } = this.#parts;
    this.#stamps = stamps;
    const understood = await this.#read();
    const paths = files.map(({ path }) => path);
    if (understood.kind === "problems") {
      const { problems } = understood;
      const isToldAlready = this.#rejected === problems.join("\n") && !isAsked;
      this.#rejected = problems.join("\n");
      if (isToldAlready) return;
      this.#rejectedCount += 1;
      windows.log.error({ event: "security.reload-rejected", what, paths, problems, goesOnWith: "what held before" });
      return;
    }
    this.#rejected = undefined;
    onChange(understood.value);
    windows.log.info({ event: "security.reloaded", what, paths });
  }

  async #look(): Promise<string> {
    const { files, windows } = this.#parts;
    const stamps = await Promise.all(files.map(({ path }) => windows.secretFiles.stampOf(path)));
    return stamps.join("\n");
  }

  async #read(): Promise<Understood<T>> {
    const { files, windows, understand } = this.#parts;
    const texts = await Promise.all(files.map(({ path, maxBytes }) => windows.secretFiles.read(path, maxBytes)));
    const named: NamedText[] = [];
    const problems: string[] = [];
    for (const [index, { variable, path }] of files.entries()) {
      const read = texts[index];
      if (read?.kind === "text") named.push({ name: `${variable}=${path}`, text: read.text });
      else problems.push(`${variable}=${path}: cannot be read: ${read?.reason ?? "unknown"}`);
    }
    return problems.length > 0 ? { kind: "problems", problems } : understand(named);
  }
}
