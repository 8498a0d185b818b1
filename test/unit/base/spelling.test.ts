import { expect, test } from "vitest";
import { closestName, suggestion } from "../../../services/base/spelling.ts";

const NAMES = ["get", "put", "delete", "status", "load", "server"];

test.each([
  { word: "stauts", name: "status" },
  { word: "gte", name: "get" },
  { word: "delet", name: "delete" },
  { word: "sever", name: "server" },
  { word: "put", name: "put" },
  { word: "xyz", name: undefined },
  { word: "", name: undefined },
  { word: "restart", name: undefined },
])("$word was meant to be $name", ({ word, name }) => {
  expect(closestName(word, NAMES)).toBe(name);
});

test("a complaint ends in the suggestion, or in nothing", () => {
  expect(suggestion("stauts", NAMES)).toBe("; did you mean status?");
  expect(suggestion("unheard-of", NAMES)).toBe("");
});
