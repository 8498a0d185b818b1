/** When a peer is believed not to answer, and when it is believed again. */
import { describe, expect, test } from "vitest";
import { Circuit } from "../../../services/coordinator/circuit-core.ts";
import type { CallResult } from "../../../services/peers/messages.ts";

const REPLY: CallResult = { kind: "pong" };
const REFUSED: CallResult = { kind: "refused", reason: "overloaded", detail: "" };
const BROKEN: CallResult = { kind: "lost", reason: "link_closed" };
const TIMEOUT: CallResult = { kind: "lost", reason: "timeout" };
const NO_LINK: CallResult = { kind: "unsent", reason: "no_link" };
const FULL: CallResult = { kind: "unsent", reason: "queue_full" };

/** A circuit after calls that each ended `tookMs` after they began, one after the other from 0 on. */
function after(ends: readonly (readonly [CallResult, number])[]): {
  readonly circuit: Circuit;
  readonly nowMs: number;
} {
  const circuit = new Circuit();
  let nowMs = 0;
  for (const [result, tookMs] of ends) {
    circuit.onSent(nowMs);
    nowMs += tookMs;
    circuit.onResult(result, tookMs, nowMs);
  }
  return { circuit, nowMs };
}

describe("a circuit", () => {
  test.each<{
    readonly name: string;
    readonly ends: readonly (readonly [CallResult, number])[];
    readonly isOpen: boolean;
  }>([
    { name: "nothing has happened", ends: [], isOpen: false },
    {
      name: "two failures",
      ends: [
        [BROKEN, 1],
        [BROKEN, 1],
      ],
      isOpen: false,
    },
    {
      name: "three failures in a row",
      ends: [
        [BROKEN, 1],
        [FULL, 0],
        [TIMEOUT, 300],
      ],
      isOpen: true,
    },
    {
      name: "a reply between failures",
      ends: [
        [BROKEN, 1],
        [BROKEN, 1],
        [REPLY, 1],
        [BROKEN, 1],
      ],
      isOpen: false,
    },
    {
      name: "a refusal, which is a reply",
      ends: [
        [BROKEN, 1],
        [BROKEN, 1],
        [REFUSED, 1],
        [BROKEN, 1],
      ],
      isOpen: false,
    },
    {
      name: "clients in a hurry",
      ends: [
        [TIMEOUT, 5],
        [TIMEOUT, 5],
        [TIMEOUT, 5],
        [TIMEOUT, 5],
      ],
      isOpen: false,
    },
    { name: "one second waited in vain", ends: [[TIMEOUT, 1_000]], isOpen: true },
    {
      name: "no link, which is known without it",
      ends: [
        [NO_LINK, 0],
        [NO_LINK, 0],
        [NO_LINK, 0],
      ],
      isOpen: false,
    },
    {
      name: "a reply after the failures",
      ends: [
        [BROKEN, 1],
        [BROKEN, 1],
        [BROKEN, 1],
        [REPLY, 1],
      ],
      isOpen: false,
    },
  ])("is open: $isOpen, after $name", ({ ends, isOpen }) => {
    const { circuit, nowMs } = after(ends);
    expect(circuit.isOpen(nowMs)).toBe(isOpen);
  });

  test("opens when something is outstanding and nothing came for a second", () => {
    const { circuit } = after([[REPLY, 1]]);
    expect(circuit.isOpen(60_000), "silence without a question is none").toBe(false);
    circuit.onSent(60_000);
    circuit.onSent(60_900);
    expect(circuit.isOpen(60_999)).toBe(false);
    expect(circuit.isOpen(61_000)).toBe(true);
    circuit.onResult(REPLY, 200, 61_100);
    expect(circuit.isOpen(61_100)).toBe(false);
    expect(circuit.isOpen(62_100), "the other one was sent before").toBe(false);
  });

  test("stays closed when what was lost before the peer recovered ends at last", () => {
    const circuit = new Circuit();
    for (let atMs = 0; atMs < 1_000; atMs += 100) circuit.onSent(atMs);
    circuit.onSent(1_500);
    expect(circuit.isOpen(1_500)).toBe(true);
    circuit.onResult(REPLY, 2, 1_502);
    for (let atMs = 0; atMs < 1_000; atMs += 100) circuit.onResult(TIMEOUT, 2_000, atMs + 2_000);
    expect(circuit.isOpen(3_000)).toBe(false);
  });

  test("lets one request through every 250 ms while it is open", () => {
    const { circuit } = after([
      [BROKEN, 1],
      [BROKEN, 1],
      [BROKEN, 1],
    ]);
    const probes = Array.from({ length: 100 }, (_, at) => at * 10).filter((atMs) => circuit.takeProbe(1_000 + atMs));
    expect(probes).toEqual([250, 500, 750]);
  });
});
