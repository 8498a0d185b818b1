import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MAX_FAILING_SOURCES } from "../../../services/base/security-limits.ts";
import { FailureLimiter, sourceOf } from "../../../services/security/failure-limiter.ts";
import { isoDateMs } from "../../../services/security/iso-date.ts";
import { repeatedName } from "../../../services/security/repeated-names.ts";
import { ANYONE, GrantedCaller, isBucketPattern, NOBODY } from "../../../services/security/rights.ts";
import {
  carriesToken,
  presentedId,
  TOKEN_RANDOM_BYTES,
  tokenBytes,
  tokenOf,
} from "../../../services/security/token.ts";
import { TokenBook } from "../../../services/security/token-book.ts";
import { readTokensFile, type TokenEntry } from "../../../services/security/tokens-file.ts";

const randomToken = fc.uint8Array({ minLength: TOKEN_RANDOM_BYTES, maxLength: TOKEN_RANDOM_BYTES }).map(tokenOf);

function token(seed: number): ReturnType<typeof tokenOf> {
  return tokenOf(Uint8Array.from({ length: TOKEN_RANDOM_BYTES }, (_, at) => (at * 7 + seed) & 0xff));
}

function fileOf(change: Readonly<Record<string, unknown>> = {}, tokens: readonly unknown[] = [entryOf(1)]): string {
  const grants = [{ rights: ["read", "write"], buckets: ["carts*", "orders"] }];
  return JSON.stringify({ principals: [{ name: "shop", grants, tokens, ...change }] });
}

function entryOf(seed: number, expires?: string): Readonly<Record<string, string>> {
  const { id, sha256 } = token(seed);
  return expires === undefined ? { id, sha256 } : { id, sha256, expires };
}

function entriesOf(text: string): readonly TokenEntry[] {
  const read = readTokensFile(text);
  if (read.kind === "problems") throw new Error(read.problems.join("\n"));
  return read.entries;
}

describe("a token", () => {
  test("is found in a Bearer header whatever the case of the scheme, and carries its id in the open", () => {
    fc.assert(
      fc.property(randomToken, fc.constantFrom("Bearer ", "bearer ", "BEARER "), ({ text, id }, scheme) => {
        expect(presentedId(scheme + text)).toBe(id);
        expect(carriesToken(scheme + text, tokenBytes(text))).toBe(true);
      }),
    );
  });

  test("is not carried by a header that differs in any one character", () => {
    fc.assert(
      fc.property(randomToken, fc.nat({ max: 60 }), ({ text }, at) => {
        const changed = text.slice(0, at) + (text[at] === "A" ? "B" : "A") + text.slice(at + 1);
        expect(carriesToken(`Bearer ${changed}`, tokenBytes(text))).toBe(false);
      }),
    );
  });

  test("is nothing that is cut, longer, of another scheme or another store", () => {
    const { text } = token(1);
    for (const header of [
      "",
      "Bearer",
      "Bearer ",
      `Bearer ${text}x`,
      `Bearer ${text.slice(0, -1)}`,
      `Basic ${text}`,
      `Token: ${text}`,
    ]) {
      expect(presentedId(header), header).toBeUndefined();
    }
    expect(presentedId(`Bearer ${text.replace("gyre_", "riak_")}`)).toBeUndefined();
    expect(presentedId(`Bearer ${text.slice(0, 17)}-${text.slice(18)}`)).toBeUndefined();
  });
});

describe("a tokens file", () => {
  test("says who may do what, with which tokens", () => {
    const [first, second] = entriesOf(fileOf({}, [entryOf(1), entryOf(2, "2027-01-31")]));
    expect(first?.expiresAtMs).toBe(Number.POSITIVE_INFINITY);
    expect(second?.expiresAtMs).toBe(Date.UTC(2027, 0, 31));
    expect(first?.caller.mayOn("write", "carts-eu")).toBe(true);
    expect(first?.caller.mayOn("list", "carts-eu"), "a right that was not granted").toBe(false);
    expect(first?.caller.mayOn("read", "orders2"), "a name is no beginning").toBe(false);
    expect(first?.caller.may("metrics")).toBe(false);
  });

  test.each([
    ["not JSON", "{", "is not JSON"],
    ["an array", "[]", "is not a JSON object"],
    ["nobody", '{"principals":[]}', "principals: is a list of 1"],
    ["a name twice", '{"principals":[],"principals":[1]}', '"principals" twice'],
    ["an unknown field", fileOf({ role: "root" }), '"role"; known'],
    ["a strange name", fileOf({ name: "a\nb" }), "principals[0].name"],
    ["an unknown right", fileOf({ grants: [{ rights: ["all"], buckets: ["*"] }] }), "are read, write"],
    ["bucket rights without buckets", fileOf({ grants: [{ rights: ["read"] }] }), "buckets: is needed with read"],
    [
      "operate on a bucket",
      fileOf({ grants: [{ rights: ["operate"], buckets: ["a"] }] }),
      "hold for the whole cluster",
    ],
    ["a glob in the middle", fileOf({ grants: [{ rights: ["read"], buckets: ["a*b"] }] }), "their beginnings"],
    ["a clear token", fileOf({}, [{ id: token(1).id, sha256: token(1).text }]), "never write the token itself"],
    ["an id twice", fileOf({}, [entryOf(1), entryOf(1)]), "another token has it"],
    ["a date in words", fileOf({}, [entryOf(1, "next year")]), "is a date like"],
    ["no token", fileOf({}, []), "tokens: is a list of 1"],
  ])("with %s is refused whole, in words", (_what, text, words) => {
    const read = readTokensFile(text);
    expect(read.kind === "problems" ? read.problems.join("\n") : "taken").toContain(words);
  });

  test("never shows in its complaints what stands in it as a secret", () => {
    const { text } = token(3);
    const bad = [fileOf({}, [{ id: text, sha256: text, expires: text }]), `{"a": ${text}`, `"${text}`];
    for (const one of bad) expect(JSON.stringify(readTokensFile(one))).not.toContain(text.slice(20));
  });

  test("whatever it holds, is read to an end", () => {
    fc.assert(
      fc.property(fc.oneof(fc.json(), fc.string()), (text) => {
        const read = readTokensFile(text);
        expect(read.kind === "problems" ? read.problems.length : read.entries.length).toBeGreaterThan(0);
      }),
    );
  });
});

describe("a date in a file", () => {
  test("is what the calendar says, and nothing that it does not have", () => {
    const anyDate = fc.date({ min: new Date("0001-01-01"), max: new Date("9999-12-31"), noInvalidDate: true });
    fc.assert(
      fc.property(anyDate, (date) => {
        expect(isoDateMs(date.toISOString())).toBe(date.getTime());
        expect(isoDateMs(date.toISOString().slice(0, 10))).toBe(Math.floor(date.getTime() / 86_400_000) * 86_400_000);
      }),
    );
    for (const text of [
      "2027-02-29",
      "2027-13-01",
      "2027-00-10",
      "2027-01-32",
      "2027-01-01T24:00Z",
      "2027-01-01T10:00",
      "27-1-1",
    ]) {
      expect(isoDateMs(text), text).toBeUndefined();
    }
    expect(isoDateMs("2028-02-29T10:00Z")).toBe(Date.UTC(2028, 1, 29, 10));
  });
});

describe("a name that comes twice", () => {
  test.each([
    ['{"a":1,"b":{"a":2},"c":[{"a":1},{"a":2}]}', undefined],
    ['{"a":1,"a":2}', "a"],
    ['{"x":{"b":1,"\\u0062":2}}', "b"],
    ['{"a":"a\\":","c":"a"}', undefined],
    ['{"a\\\\":1, "a\\\\" :2}', "a\\"],
    ['[{"__proto__":1,"__proto__":2}]', "__proto__"],
  ])("in %s", (text, name) => {
    expect(repeatedName(text)).toBe(name);
  });

  test("is never found in what JSON.stringify wrote", () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        expect(repeatedName(JSON.stringify(JSON.parse(text)))).toBeUndefined();
      }),
    );
  });
});

describe("the book of tokens", () => {
  const never = (): number => {
    throw new Error("a token without an end needs no clock");
  };

  test("knows a token the first time and after it, and nobody else's", () => {
    const book = new TokenBook(entriesOf(fileOf()));
    const header = `Bearer ${token(1).text}`;
    for (let time = 0; time < 3; time += 1)
      expect(book.present(header, never)).toMatchObject({ kind: "known", caller: { name: "shop" } });
    const sameId = header.slice(0, -1) + (header.endsWith("A") ? "B" : "A");
    expect(book.present(sameId, never)).toMatchObject({
      kind: "wrong",
      words: expect.stringContaining("not valid here"),
    });
    expect(new TokenBook(entriesOf(fileOf())).present(sameId, never), "also when it comes first").toMatchObject({
      kind: "wrong",
    });
    expect(book.present(`Bearer ${token(9).text}`, never)).toMatchObject({ kind: "wrong" });
    expect(book.present("Basic YTpi", never)).toMatchObject({ kind: "wrong" });
    expect(book.present(undefined, never)).toMatchObject({ kind: "missing" });
  });

  test("ends a token at its date, and says so only to whoever has it", () => {
    const book = new TokenBook(entriesOf(fileOf({}, [entryOf(1, "2027-01-01")])));
    const endMs = Date.UTC(2027, 0, 1);
    const header = `Bearer ${token(1).text}`;
    expect(book.present(header, () => endMs - 1)).toMatchObject({ kind: "known" });
    expect(book.present(header, () => endMs)).toMatchObject({
      kind: "wrong",
      words: expect.stringContaining("expired"),
    });
    const other = header.slice(0, -1) + (header.endsWith("A") ? "B" : "A");
    expect(book.present(other, () => endMs)).toMatchObject({ words: expect.not.stringContaining("expired") });
  });

  test("takes two tokens of one principal while one follows the other, and drops the old one at once", () => {
    const book = new TokenBook(entriesOf(fileOf({}, [entryOf(1), entryOf(2)])));
    const [old, fresh] = [`Bearer ${token(1).text}`, `Bearer ${token(2).text}`];
    expect([book.present(old, never).kind, book.present(fresh, never).kind]).toEqual(["known", "known"]);
    book.replace(entriesOf(fileOf({}, [entryOf(2)])));
    expect([book.present(old, never).kind, book.present(fresh, never).kind]).toEqual(["wrong", "known"]);
  });
});

describe("rights", () => {
  test("are those of the grants that cover the bucket, and no others", () => {
    const patterns = fc.constantFrom("a", "ab", "a*", "ab*", "*", "b", "b.*");
    const grant = fc.record({
      rights: fc.subarray(["read", "write", "list", "admin"] as const),
      buckets: fc.array(patterns, { minLength: 1, maxLength: 3 }),
    });
    const asked = fc.tuple(
      fc.constantFrom("read", "write", "list", "admin" as const),
      fc.constantFrom("a", "ab", "abc", "b", "b.c", "c"),
    );
    fc.assert(
      fc.property(fc.array(grant, { maxLength: 4 }), asked, (grants, [right, bucket]) => {
        const covers = (pattern: string): boolean =>
          pattern.endsWith("*") ? bucket.startsWith(pattern.slice(0, -1)) : pattern === bucket;
        const isGranted = grants.some(({ rights, buckets }) => rights.includes(right) && buckets.some(covers));
        expect(new GrantedCaller("p", grants, []).mayOn(right, bucket)).toBe(isGranted);
      }),
    );
  });

  test("to operate is also one to look; nothing else follows from anything", () => {
    const operator = new GrantedCaller("ops", [], ["operate"]);
    expect([operator.may("operate"), operator.may("metrics"), operator.mayOn("read", "a")]).toEqual([
      true,
      true,
      false,
    ]);
    expect(new GrantedCaller("eye", [], ["metrics"]).may("operate")).toBe(false);
    expect([NOBODY.may("metrics"), NOBODY.mayOn("read", "a"), ANYONE.mayOn("admin", "a")]).toEqual([
      false,
      false,
      true,
    ]);
  });

  test.each(["", "A", "a**", "*a", "-a", "a b", "a".repeat(64)])("are over no such thing as %j", (text) => {
    expect(isBucketPattern(text)).toBe(false);
  });
});

describe("failures of one source", () => {
  test("may be so many at once, then one by one as time goes on; others are not touched", () => {
    const limiter = new FailureLimiter(3, 1_000);
    const verdicts = Array.from({ length: 5 }, () => limiter.fail("a", 0).isOverLimit);
    expect(verdicts).toEqual([false, false, false, true, true]);
    expect(limiter.fail("b", 0).isOverLimit).toBe(false);
    expect(limiter.fail("a", 1_000)).toEqual({ isOverLimit: false, heldBackCount: 2 });
    expect(limiter.fail("a", 1_001).isOverLimit).toBe(true);
  });

  test("are remembered of a bounded number of sources: the ones that failed last", () => {
    const limiter = new FailureLimiter(1, 1e9);
    limiter.fail("first", 0);
    for (let index = 0; index < MAX_FAILING_SOURCES; index += 1) limiter.fail(`s${index}`, 0);
    expect(limiter.size).toBe(MAX_FAILING_SOURCES);
    expect(limiter.fail("first", 0).isOverLimit, "was forgotten").toBe(false);
    expect(limiter.fail(`s${MAX_FAILING_SOURCES - 1}`, 0).isOverLimit).toBe(true);
  });

  test.each([
    ["10.0.0.1", "10.0.0.1"],
    ["::ffff:10.0.0.1", "10.0.0.1"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:db8:1:2::9", "2001:db8:1:2::/64"],
    ["::1", "0:0:0:0::/64"],
    ["fe80::1%eth0", "fe80:0:0:0::/64"],
  ])("from %s are counted for %s", (address, source) => {
    expect(sourceOf(address)).toBe(source);
  });
});
