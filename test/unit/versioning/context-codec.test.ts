/** Context tokens: what comes back is what was given, for this key and this cluster, or nothing. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type BucketName, parseBucketName } from "../../../services/base/ids.ts";
import { MAX_CONTEXT_ENTRIES, MAX_CONTEXT_TOKEN_CHARS, MAX_KEY_BYTES } from "../../../services/base/limits.ts";
import { contextOf, EMPTY_CONTEXT, includes } from "../../../services/versioning/causal-context.ts";
import { ContextCodec, type ContextName } from "../../../services/versioning/context-codec.ts";
import { anyContext } from "../../support/version-arbitraries.ts";

function bucketOf(text: string): BucketName {
  const bucket = parseBucketName(text);
  if (bucket === undefined) throw new Error(`${text} is no bucket name`);
  return bucket;
}

const codec = new ContextCodec(Buffer.from("the secret of this cluster"));
const alice: ContextName = { bucket: bucketOf("carts"), key: Buffer.from("alice") };
const someContext = contextOf([{ actor: 5, counter: 9 }], [{ actor: 7, counter: 3 }]);
const token = codec.encode(alice, someContext);

describe("a context token", () => {
  test("gives back the context that it was made from", () => {
    fc.assert(
      fc.property(anyContext, fc.uint8Array({ minLength: 1, maxLength: 30 }), (context, key) => {
        const name: ContextName = { bucket: bucketOf("b"), key };
        expect(codec.decode(name, codec.encode(name, context))).toEqual({ kind: "context", context });
      }),
    );
  });

  test("is the same from every node of the cluster", () => {
    const other = new ContextCodec(Buffer.from("the secret of this cluster"));
    expect(other.encode(alice, someContext)).toBe(token);
    expect(other.decode(alice, token).kind).toBe("context");
  });

  test("is plain base64url", () => {
    expect(token).toMatch(/^[A-Za-z0-9_-]+$/);
    expect(codec.decode(alice, codec.encode(alice, EMPTY_CONTEXT))).toEqual({
      kind: "context",
      context: EMPTY_CONTEXT,
    });
  });

  test("of more entries than allowed tells the newest ones only, and still fits", () => {
    const entries = Array.from({ length: MAX_CONTEXT_ENTRIES + 10 }, (_, i) => ({ actor: i + 1, counter: i + 1 }));
    const context = contextOf(entries);
    const name: ContextName = { bucket: bucketOf("b".repeat(63)), key: new Uint8Array(MAX_KEY_BYTES) };
    const long = codec.encode(name, context);
    expect(long.length).toBeLessThanOrEqual(MAX_CONTEXT_TOKEN_CHARS);
    const decoded = codec.decode(name, long);
    expect(decoded.kind === "context" && decoded.context.vector).toEqual(entries.slice(10));
    expect(decoded.kind === "context" && includes(context, decoded.context)).toBe(true);
  });
});

describe("while secrets are exchanged", () => {
  const codecOf = (primary: string, ...others: readonly string[]): ContextCodec =>
    new ContextCodec(
      Buffer.from(primary),
      others.map((other) => Buffer.from(other)),
    );
  const before = codecOf("old");
  const first = codecOf("old", "new");
  const second = codecOf("new", "old");
  const after = codecOf("new");

  test.each([
    { what: "the first round", nodes: [before, first] },
    { what: "the second round", nodes: [first, second] },
    { what: "the third round", nodes: [second, after] },
  ])("every node takes the tokens that any other makes in $what", ({ nodes }) => {
    for (const maker of nodes) {
      const made = maker.encode(alice, someContext);
      for (const taker of nodes) expect(taker.decode(alice, made)).toEqual({ kind: "context", context: someContext });
    }
  });

  test("a client's token of before is taken until the old secret is gone, and refused then", () => {
    const made = before.encode(alice, someContext);
    expect([before, first, second].map((node) => node.decode(alice, made).kind)).toEqual(
      Array.from({ length: 3 }, () => "context"),
    );
    expect(after.decode(alice, made).kind).toBe("invalid");
  });

  test("tokens are made with the primary alone, whatever was checked just before", () => {
    second.decode(alice, before.encode(alice, someContext));
    second.decode(alice, "A".repeat(80));
    expect(second.encode(alice, someContext)).toBe(after.encode(alice, someContext));
    expect(first.encode(alice, someContext)).toBe(before.encode(alice, someContext));
  });

  test("what a believed secret did not make for this key is as invalid as ever", () => {
    const made = before.encode(alice, someContext);
    expect(second.decode({ ...alice, key: Buffer.from("bob") }, made).kind).toBe("invalid");
    for (let at = 0; at < made.length; at += 1) {
      const changed = made.slice(0, at) + (made[at] === "A" ? "B" : "A") + made.slice(at + 1);
      expect(second.decode(alice, changed).kind).toBe("invalid");
    }
    expect(() => codecOf("new", "")).toThrow("a cluster has a secret");
  });
});

describe("a token that was not made for this key by this cluster is invalid", () => {
  test.each([
    { name: "another key", of: { bucket: alice.bucket, key: Buffer.from("bob") } },
    { name: "another bucket", of: { bucket: bucketOf("cart"), key: Buffer.from("alice") } },
    { name: "a name of the same bytes, split elsewhere", of: { bucket: bucketOf("cart"), key: Buffer.from("salice") } },
  ])("of $name", ({ of }) => {
    expect(codec.decode(of, token).kind).toBe("invalid");
  });

  test("of another cluster", () => {
    expect(new ContextCodec(Buffer.from("another secret")).decode(alice, token).kind).toBe("invalid");
  });

  test("truncated anywhere, or lengthened", () => {
    for (let length = 0; length < token.length; length += 1) {
      expect(codec.decode(alice, token.slice(0, length)).kind).toBe("invalid");
    }
    for (const tail of ["A", "AA", "AAAA", "=", " ", "\n", "\u{1f600}"]) {
      expect(codec.decode(alice, token + tail).kind).toBe("invalid");
    }
  });

  test("with any one character changed", () => {
    for (let at = 0; at < token.length; at += 1) {
      for (const other of "AQgw09-_+/=é ") {
        if (other === token[at]) continue;
        expect(codec.decode(alice, token.slice(0, at) + other + token.slice(at + 1)).kind).toBe("invalid");
      }
    }
  });

  test("made up from any text, without an exception", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ maxLength: 300 }), fc.base64String({ maxLength: 300 })), (text) => {
        expect(codec.decode(alice, text).kind).toBe("invalid");
      }),
      { numRuns: 2_000 },
    );
  });

  test("longer than any token, or for a key longer than any key", () => {
    expect(codec.decode(alice, "A".repeat(MAX_CONTEXT_TOKEN_CHARS + 1))).toEqual({
      kind: "invalid",
      reason: "too long",
    });
    expect(codec.decode(alice, "A".repeat(MAX_CONTEXT_TOKEN_CHARS)).kind).toBe("invalid");
    const longKey: ContextName = { bucket: alice.bucket, key: new Uint8Array(MAX_KEY_BYTES + 1) };
    expect(codec.decode(longKey, token).kind).toBe("invalid");
  });
});
