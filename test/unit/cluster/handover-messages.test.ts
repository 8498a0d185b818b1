import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type HandoverReply,
  type HandoverRequest,
  parseHandoverReply,
  parseHandoverRequest,
} from "../../../services/cluster/handover-messages.ts";
import { OTHER } from "../../support/handover-facts.ts";

const named = { partition: 7, from: OTHER };
const requests: readonly HandoverRequest[] = [
  { kind: "req", ...named, news: new Uint8Array([1]) },
  { kind: "pull", ...named, tx: 3, body: { leaves: 1 } },
  { kind: "changes", ...named, tx: 3, body: null },
  { kind: "mint-pull", ...named, tx: 3, body: "x", takesSuspect: true },
  { kind: "seal", ...named, tx: 3 },
  { kind: "ready", ...named, tx: 3 },
  { kind: "settle", ...named, tx: 3 },
  { kind: "mint-query", ...named, tx: 3, slot: 2, members: "abc", news: new Uint8Array() },
  { kind: "mint-check", ...named, tx: 3, slot: 2 },
  { kind: "mint-end", ...named, tx: 3, slot: 2 },
];
const replies: readonly HandoverReply[] = [
  { kind: "granted", tx: 3, slot: 2 },
  { kind: "refused", reason: "busy" },
  { kind: "refused", reason: "promised", promisedTo: OTHER },
  { kind: "page", body: [1], slot: 0 },
  { kind: "sealed", tx: 3, body: [1], count: 9, root: "beef" },
  { kind: "released", tx: 3, slot: 2 },
  { kind: "over", tx: 3 },
  { kind: "settled", tx: 3 },
  { kind: "vacant", tx: 3 },
  { kind: "open", tx: 3 },
];

describe("messages of the hand-over", () => {
  it.each(requests.map((request) => [request.kind, request] as const))(
    "%s comes in as it was sent",
    (_kind, request) => {
      expect(parseHandoverRequest({ ...request })).toEqual(request);
    },
  );

  it.each(replies.map((reply) => [reply.kind, reply] as const))("%s is answered as it was meant", (_kind, reply) => {
    expect(parseHandoverReply({ ...reply })).toEqual(reply);
  });

  it("are nothing when a field is missing, or out of its bounds", () => {
    for (const request of requests) {
      for (const field of Object.keys(request).filter((name) => name !== "body")) {
        expect(parseHandoverRequest({ ...request, [field]: undefined })).toBeUndefined();
      }
    }
    expect(parseHandoverRequest({ ...requests[4], partition: 4_096 })).toBeUndefined();
    expect(parseHandoverRequest({ ...requests[8], slot: 7 })).toBeUndefined();
    expect(parseHandoverRequest({ ...requests[4], from: "B" })).toBeUndefined();
    expect(parseHandoverReply({ kind: "refused", reason: "because" })).toBeUndefined();
  });

  it("take any value without throwing", () => {
    fc.assert(
      fc.property(fc.anything(), (value) => {
        expect(parseHandoverRequest(value)).toBeUndefined();
        expect(parseHandoverReply(value)).toBeUndefined();
      }),
    );
  });
});
