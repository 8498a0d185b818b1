/** `gyre manifests`: what its flags change, and what it refuses. */
import { describe, expect, test } from "vitest";
import { parseDocuments } from "../../../../services/cli/manifests/yaml-text.ts";
import { gyre } from "../../../support/cli-run.ts";

describe("gyre manifests", () => {
  test("prints what flags ask for, and nothing else differs", async () => {
    const [plain, asked] = await Promise.all([
      gyre(["manifests"]),
      gyre(
        "manifests --nodes 5 --storage 50Gi --storage-class fast --memory 4Gi --cpu 2 --image r.example/g:9".split(" "),
      ),
    ]);
    const expected = plain.out
      .replace("replicas: 3", "replicas: 5")
      .replace("            storage: 20Gi", "            storage: 50Gi\n        storageClassName: fast")
      .replaceAll("memory: 2Gi", "memory: 4Gi")
      .replace("cpu: 500m", 'cpu: "2"')
      .replace("image: gyre:0.1.0", "image: r.example/g:9");
    expect(asked.out).toBe(expected);
    expect([plain.code, asked.code]).toEqual([0, 0]);
  });

  test("prints a namespace into each object, and a smoke test of every node", async () => {
    const { out } = await gyre("manifests --namespace kv --smoke-test --tls --nodes 4".split(" "));
    const objects = parseDocuments(out, "stdout");
    expect(objects.length).toBeGreaterThan(5);
    expect(objects.every((object) => JSON.stringify(object).includes('"namespace":"kv"'))).toBe(true);
    expect(out).toContain("https://gyre-3.gyre-headless.$(POD_NAMESPACE).svc:4400");
  });

  test("prints one list as JSON", async () => {
    const { out } = await gyre(["manifests", "--json"]);
    expect(JSON.parse(out)).toMatchObject({ kind: "List", items: [{ kind: "ServiceAccount" }, {}, {}, {}, {}] });
  });

  test.each([
    { words: "--nodes 2", says: "at least 3" },
    { words: "--storage lots", says: "--storage=lots: is not a quantity" },
    { words: "--namespace Not_One", says: "is not a name" },
    { words: "--zone", says: "did you mean --zones" },
  ])("refuses $words", async ({ words, says }) => {
    const { code, err } = await gyre(["manifests", ...words.split(" ")]);
    expect(code).toBe(2);
    expect(err).toContain(says);
  });
});
