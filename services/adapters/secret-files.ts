/**
 * The window on files of secrets. Must never keep what it read. Kubernetes swaps a link above such files, so what is looked at is
 * always what the path leads to now.
 */
import { open, stat } from "node:fs/promises";
import type { SecretFiles, SecretText } from "../base/ports.ts";

const READABLE_BY_ALL = 0o004;

/** Files of this machine. */
export function createSecretFiles(): SecretFiles {
  return { stampOf, isOpenToAll, read };
}

async function stampOf(path: string): Promise<string> {
  try {
    const { mtimeMs, ctimeMs, ino, size } = await stat(path);
    return `${mtimeMs} ${ctimeMs} ${ino} ${size}`;
  } catch (error) {
    return codeOf(error);
  }
}

async function isOpenToAll(path: string): Promise<boolean> {
  try {
    const { mode } = await stat(path);
    return (mode & READABLE_BY_ALL) !== 0;
  } catch (error) {
    codeOf(error);
    return false;
  }
}

async function read(path: string, maxBytes: number): Promise<SecretText> {
  try {
    const file = await open(path, "r");
    try {
      const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(maxBytes + 1), position: 0 });
      if (bytesRead > maxBytes) return { kind: "unreadable", reason: `it is longer than ${maxBytes} bytes` };
      return { kind: "text", text: buffer.toString("utf8", 0, bytesRead) };
    } finally {
      await file.close();
    }
  } catch (error) {
    return { kind: "unreadable", reason: codeOf(error) };
  }
}

function codeOf(error: unknown): string {
  if (error instanceof Error && "code" in error && typeof error.code === "string") {
    return error.code === "ENOENT"
      ? "there is no such file"
      : error.code === "EACCES"
        ? "this user may not read it"
        : error.code;
  }
  throw error;
}
