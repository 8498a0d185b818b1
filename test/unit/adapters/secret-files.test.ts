import { chmodSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { createSecretFiles } from "../../../services/adapters/secret-files.ts";

const directory = mkdtempSync(join(tmpdir(), "gyre-secret-files-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const files = createSecretFiles();

describe("files of secrets", () => {
  test("are read whole, up to their limit", async () => {
    const path = join(directory, "a");
    writeFileSync(path, "ünï");
    expect(await files.read(path, 5)).toEqual({ kind: "text", text: "ünï" });
    expect(await files.read(path, 4)).toEqual({ kind: "unreadable", reason: "it is longer than 4 bytes" });
    expect(await files.read(join(directory, "gone"), 4)).toEqual({
      kind: "unreadable",
      reason: "there is no such file",
    });
    expect(await files.read(directory, 4)).toMatchObject({ kind: "unreadable" });
  });

  test("are seen to change when they are replaced, also behind links as Kubernetes swaps them", async () => {
    const mount = join(directory, "mount");
    mkdirSync(join(mount, "..1"), { recursive: true });
    mkdirSync(join(mount, "..2"));
    for (const version of ["..1", "..2"]) writeFileSync(join(mount, version, "tls.crt"), `of ${version}`);
    symlinkSync("..1", join(mount, "..data"));
    symlinkSync("..data/tls.crt", join(mount, "tls.crt"));
    const path = join(mount, "tls.crt");
    const before = await files.stampOf(path);
    expect(await files.stampOf(path)).toBe(before);
    symlinkSync("..2", join(mount, "..tmp"));
    renameSync(join(mount, "..tmp"), join(mount, "..data"));
    expect(await files.stampOf(path)).not.toBe(before);
    expect(await files.read(path, 100)).toEqual({ kind: "text", text: "of ..2" });
    rmSync(join(mount, "..data"));
    expect(await files.stampOf(path)).toBe("there is no such file");
  });

  test("that everybody may read are told from those that only their owner may", async () => {
    const path = join(directory, "key");
    writeFileSync(path, "k");
    chmodSync(path, 0o644);
    expect(await files.isOpenToAll(path)).toBe(true);
    chmodSync(path, 0o640);
    expect(await files.isOpenToAll(path)).toBe(false);
    expect(await files.isOpenToAll(join(directory, "gone"))).toBe(false);
  });
});
