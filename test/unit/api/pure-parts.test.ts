/** The small pure parts of the API, each against a dumb model. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Admission } from "../../../services/api/admission.ts";
import { isoTime } from "../../../services/api/iso-time.ts";
import { elementsAt, membersAt } from "../../../services/api/json-slices.ts";
import { percentDecoded } from "../../../services/api/percent.ts";
import { parseQuery } from "../../../services/api/query.ts";
import { dotText } from "../../../services/api/reply.ts";

describe("isoTime", () => {
  it("agrees with Date for every day of 400 years and any millisecond up to the year 9999", () => {
    for (let day = 0; day < 146_097; day += 1) {
      const ms = day * 86_400_000 + 86_399_999;
      if (isoTime(ms) !== new Date(ms).toISOString()) expect.fail(`${ms}: ${isoTime(ms)}`);
    }
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 253_402_300_799_999 }), (ms) => {
        expect(isoTime(ms)).toBe(new Date(ms).toISOString());
      }),
    );
  });
});

describe("dotText", () => {
  it("writes the actor in 12 hex digits and the counter in full", () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.maxSafeNat(), (any, counter) => {
        const actor = any % 2 ** 48;
        expect(dotText({ actor, counter })).toBe(`${actor.toString(16).padStart(12, "0")}-${counter}`);
      }),
    );
  });
});

describe("JSON slices", () => {
  it("cut out exactly the text of each member and element, whatever is nested in it", () => {
    fc.assert(
      fc.property(
        fc.array(fc.dictionary(fc.string(), fc.jsonValue())),
        fc.constantFrom(undefined, 1, "\t"),
        (list, indent) => {
          const text = JSON.stringify(list, undefined, indent);
          const elements = elementsAt(text, 0) ?? [];
          expect(elements).toHaveLength(list.length);
          elements.forEach((slice, index) => {
            expect(JSON.parse(text.slice(slice.start, slice.end))).toEqual(JSON.parse(JSON.stringify(list[index])));
            const members = membersAt(text, slice.start) ?? new Map();
            expect([...members.keys()].toSorted()).toEqual(Object.keys(list[index] ?? {}).toSorted());
            for (const [name, part] of members) {
              expect(JSON.parse(text.slice(part.start, part.end))).toEqual(
                JSON.parse(JSON.stringify(list[index]?.[name])),
              );
            }
          });
        },
      ),
    );
  });
});

describe("percent decoding and queries", () => {
  it("agree with decodeURIComponent and URLSearchParams on what those accept", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        fc.pre(text.isWellFormed());
        const encoded = encodeURIComponent(text);
        expect(percentDecoded(encoded)?.toString()).toBe(text);
        const query = parseQuery(new URLSearchParams([["name", text]]).toString(), ["name"]);
        expect(query.kind === "query" && query.values.get("name")).toBe(text);
      }),
    );
  });

  it.each(["%", "%2", "a%", "%zz", "%2g", "%g2", "%-1", "% 2", "%%25", "%2%35"])(
    "take %j for broken, never for bytes",
    (text) => {
      expect(percentDecoded(text)).toBeUndefined();
      expect(parseQuery(`r=${text}`, ["r"]).kind).toBe("failed");
    },
  );

  it("never throw on any bytes", () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.nat(255).map((code) => String.fromCharCode(code)) }), (text) => {
        percentDecoded(text);
        expect(["query", "failed"]).toContain(parseQuery(text, ["r"]).kind);
      }),
    );
  });
});

describe("admission", () => {
  it("fills the shares of the classes, and lets control always in", () => {
    const admission = new Admission({ requests: 16, bytes: 1_600 });
    const enter = (work: "list" | "read" | "write" | "control", count: number): number =>
      Array.from({ length: count }, () => admission.tryEnter(work, 10)).filter(Boolean).length;
    expect([enter("list", 20), enter("read", 20), enter("write", 20), enter("control", 20)]).toEqual([8, 7, 1, 20]);
    expect(admission.tryEnter("write", 0)).toBe(false);
  });

  it("lets in as many of a class as its limit says just now, whatever the others do", () => {
    const admission = new Admission({ requests: 16, bytes: 1_600 });
    expect(admission.tryEnter("write", 0, 1)).toBe(true);
    expect([admission.tryEnter("write", 0, 1), admission.tryEnter("read", 0, 1)]).toEqual([false, true]);
    admission.leave("write", 0);
    expect([admission.tryEnter("write", 0, 1), admission.tryEnter("read", 0, 0)]).toEqual([true, false]);
    expect([admission.inflightOf("write"), admission.inflightOf("read")]).toEqual([1, 1]);
  });

  it("counts bytes whatever comes and goes, and never over its limit", () => {
    fc.assert(
      fc.property(fc.array(fc.record({ bytes: fc.nat(400), leaves: fc.boolean() })), (steps) => {
        const admission = new Admission({ requests: 5, bytes: 1_000 });
        const inside: number[] = [];
        for (const { bytes, leaves } of steps) {
          const first = leaves ? inside.shift() : undefined;
          if (first !== undefined) admission.leave("write", first);
          else if (admission.tryEnter("write", bytes)) inside.push(bytes);
          const sum = inside.reduce((total, one) => total + one, 0);
          expect([admission.requests, admission.bytes]).toEqual([inside.length, sum]);
          expect(sum <= 1_000 && inside.length <= 5).toBe(true);
        }
      }),
    );
  });
});
