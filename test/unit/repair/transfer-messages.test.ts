/** What comes over a link is looked at before it is believed. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  parseChangesRequest,
  parsePullRequest,
  parseTransferReply,
} from "../../../services/repair/transfer-messages.ts";
import { encodeCursor } from "../../../services/repair/transfer-page-core.ts";
import { carried } from "../../support/transfer-fixture.ts";

const cursor = encodeCursor({ hash: 5n, offset: 0, digest: 9n, key: Buffer.from("k") });
const differing = new Uint8Array(32);
const objects = new Uint8Array(3);

describe("messages of a transfer", () => {
  test.each([
    [parsePullRequest, { kind: "begin", leaves: new Uint8Array(2048) }],
    [parsePullRequest, { kind: "next", differing, cursor }],
    [parseChangesRequest, { kind: "batch", ack: 0 }],
    [parseChangesRequest, { kind: "next", batch: 3, cursor }],
    [parseTransferReply, { kind: "pulled", differing, objects, next: cursor }],
    [parseTransferReply, { kind: "pulled", differing, objects, next: undefined }],
    [parseTransferReply, { kind: "changed", batch: 1, objects, next: undefined, remainingCount: 0 }],
    [parseTransferReply, { kind: "refused", reason: "overflown" }],
  ])("arrive as they were sent (%#)", (parse, message) => {
    const arrived = parse(carried(message));
    expect(Object.keys(arrived ?? {}).toSorted()).toEqual(Object.keys(message).toSorted());
    for (const [name, value] of Object.entries(arrived ?? {})) {
      const sent: unknown = Reflect.get(message, name);
      expect(value instanceof Uint8Array ? Buffer.from(value) : value).toEqual(
        sent instanceof Uint8Array ? Buffer.from(sent) : sent,
      );
    }
  });

  test.each([
    [parsePullRequest, { kind: "begin", leaves: new Uint8Array(2047) }],
    [parsePullRequest, { kind: "begin" }],
    [parsePullRequest, { kind: "next", differing, cursor: new Uint8Array(20) }],
    [parsePullRequest, { kind: "next", differing: new Uint8Array(31), cursor }],
    [parsePullRequest, { kind: "batch", ack: 1 }],
    [parseChangesRequest, { kind: "batch", ack: -1 }],
    [parseChangesRequest, { kind: "batch", ack: 1.5 }],
    [parseChangesRequest, { kind: "next", batch: 1 }],
    [parseTransferReply, { kind: "pulled", differing, objects: "text", next: cursor }],
    [parseTransferReply, { kind: "pulled", differing, objects, next: new Uint8Array(4) }],
    [parseTransferReply, { kind: "changed", batch: 1, objects, next: cursor }],
    [parseTransferReply, { kind: "refused", reason: "because" }],
    [parseTransferReply, [1, 2]],
  ])("of a wrong shape are none (%#)", (parse, message) => {
    expect(parse(carried(message))).toBeUndefined();
  });

  test("of any shape never throw", () => {
    fc.assert(
      fc.property(fc.anything(), (value) => {
        for (const parse of [parsePullRequest, parseChangesRequest, parseTransferReply]) parse(value);
      }),
    );
  });
});
