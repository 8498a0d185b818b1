/** The offset up to which everything is done, when things finish in any order. Pure. */

/** Something under way. */
export interface Ticket {
  readonly endOffset: number;
  isDone: boolean;
}

/** Keeps tickets in order of their lines; the mark moves when the oldest is done. */
export class Watermark {
  #tickets: Ticket[] = [];
  #first = 0;
  #offset: number;
  #doneLines: number;

  constructor(offset: number, doneLines: number) {
    this.#offset = offset;
    this.#doneLines = doneLines;
  }

  /** Every line before this offset is done. */
  get offset(): number {
    return this.#offset;
  }

  /** How many lines lie before the offset. */
  get doneLines(): number {
    return this.#doneLines;
  }

  /** Lines from the oldest that is not done to the newest that has begun. */
  get spread(): number {
    return this.#tickets.length - this.#first;
  }

  /** Begins a line; lines begin in the order of the file. */
  begin(endOffset: number): Ticket {
    const ticket = { endOffset, isDone: false };
    this.#tickets.push(ticket);
    return ticket;
  }

  /** Ends a line. Amortized O(1). */
  finish(ticket: Ticket): void {
    ticket.isDone = true;
    for (let oldest = this.#tickets[this.#first]; oldest?.isDone === true; oldest = this.#tickets[this.#first]) {
      this.#offset = oldest.endOffset;
      this.#doneLines += 1;
      this.#first += 1;
    }
    if (this.#first > 1_000 && this.#first * 2 > this.#tickets.length) {
      this.#tickets = this.#tickets.slice(this.#first);
      this.#first = 0;
    }
  }
}
