/** What a read's answer names. */
import { expect, test } from "vitest";
import type { NodeId } from "../../../services/base/ids.ts";
import { withPeers } from "../../../services/coordinator/read-answer.ts";
import { newVoter, type ReadVoter } from "../../../services/coordinator/read-voter-core.ts";
import { EMPTY } from "../../../services/versioning/sibling-set.ts";

const FOUND = { kind: "found", set: EMPTY, digest: 7n } as const;

function voterOf(node: string, role: "owner" | "fallback", what: Partial<ReadVoter>): ReadVoter {
  return { ...newVoter({ node: node as NodeId, slot: 0, role }), ...what };
}

test("a stand-in that has named a version took part, also while it is asked again for the object", () => {
  const voters = [
    voterOf("n1", "owner", { state: "answered", digest: 7n }),
    voterOf("n4", "fallback", { state: "asked", question: "object", digest: 7n }),
    voterOf("n5", "fallback", { state: "answered", digest: 0n }),
  ];
  expect(withPeers(FOUND, voters, undefined)).toEqual({ ...FOUND, fallbacks: ["n4", "n5"] });
});

test("owners, and stand-ins that have said nothing or failed, are not named", () => {
  const voters = [
    voterOf("n1", "owner", { state: "answered", digest: 7n }),
    voterOf("n4", "fallback", { state: "asked", question: "digest" }),
    voterOf("n5", "fallback", { state: "failed", digest: 7n }),
  ];
  expect(withPeers(FOUND, voters, undefined)).toEqual(FOUND);
});
