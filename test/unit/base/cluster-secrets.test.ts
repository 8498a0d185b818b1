import { expect, test } from "vitest";
import { clusterSecretsOf } from "../../../services/base/cluster-secrets.ts";

const textsOf = (secret: string | undefined, previousSecret: string | undefined): readonly string[] => {
  const { primary, others } = clusterSecretsOf({ secret, previousSecret });
  return [primary, ...others].map((bytes) => Buffer.from(bytes).toString("utf8"));
};

test("the secret is spoken with, the previous one is believed besides, and without any there is the empty one", () => {
  expect(textsOf("new ü", "old")).toEqual(["new ü", "old"]);
  expect(textsOf("new", undefined)).toEqual(["new"]);
  expect(textsOf(undefined, undefined)).toEqual([""]);
});

test("the empty secret, which everybody knows, never stands beside another", () => {
  expect(() => textsOf("new", "")).toThrow("not empty");
  expect(() => textsOf(undefined, "old")).toThrow("beside one in use");
  expect(() => textsOf("", "old")).toThrow("beside one in use");
});
