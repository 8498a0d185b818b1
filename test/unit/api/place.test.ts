/** A place is freed once, whatever comes first: the answer, or the end of the exchange. */
import { describe, expect, it } from "vitest";
import { Place } from "../../../services/api/place.ts";

type Step = "busy" | "idle" | "over";

/** After which step the place was free, counted from 1; once for each time that it was freed. */
function freedAfter(steps: readonly Step[]): readonly number[] {
  const freed: number[] = [];
  let at = 0;
  const place = new Place(() => void freed.push(at));
  for (const step of steps) {
    at += 1;
    place[step]();
  }
  return freed;
}

describe("a place", () => {
  it.each<{ readonly steps: readonly Step[]; readonly after: readonly number[]; readonly why: string }>([
    { steps: ["over"], after: [1], why: "was answered at once" },
    { steps: ["busy", "idle", "over"], after: [3], why: "was answered, and the client has it" },
    { steps: ["busy", "over", "idle"], after: [3], why: "lost its client before the answer" },
    { steps: ["busy", "over"], after: [], why: "lost its client, and work goes on" },
    { steps: ["busy", "idle"], after: [], why: "has its answer, and the client not yet" },
    { steps: ["over", "idle"], after: [1], why: "waited for others' work without being busy, and lost its client" },
    { steps: ["idle", "over"], after: [2], why: "waited for others' work without being busy" },
    { steps: ["busy", "over", "idle", "idle"], after: [3], why: "is told twice that nothing is done" },
    { steps: ["busy", "over", "idle", "busy", "idle", "over"], after: [3], why: "is busy again when it is free" },
  ])("of a request that $why ($steps)", ({ steps, after }) => {
    expect(freedAfter(steps)).toEqual(after);
  });
});
