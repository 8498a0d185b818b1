/**
 * What a command shows to nodes and whom it believes: `--token-file`, `--token`, GYRE_TOKEN_FILE, GYRE_TOKEN; `--ca`, GYRE_CA. Must
 * never print a token, nor send one to any address but those of the nodes.
 */
import { readFileSync } from "node:fs";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { type Fetch, withToken } from "../client/http-node.ts";
import { type CommandLine, UsageError } from "./command.ts";
import type { CliIo } from "./io.ts";

/** `fetch`, with the token that the command was given, and believing the CA that it was given. */
export function fetchOf(line: CommandLine, io: CliIo): Fetch {
  trustCa(line.text("ca") ?? given(io, "GYRE_CA"));
  const token = tokenOf(line, io);
  return token === undefined ? fetch : withToken(fetch, token);
}

function tokenOf(line: CommandLine, io: CliIo): string | undefined {
  const [file, text] = [line.text("token-file"), line.text("token")];
  if (file !== undefined && text !== undefined) throw new UsageError("--token and --token-file: give one of them");
  if (text !== undefined) return checked(text, "--token");
  if (file !== undefined) return checked(textOf(file, "--token-file"), `--token-file=${file}`);
  const envFile = given(io, "GYRE_TOKEN_FILE");
  if (envFile !== undefined) return checked(textOf(envFile, "GYRE_TOKEN_FILE"), `GYRE_TOKEN_FILE=${envFile}`);
  const token = given(io, "GYRE_TOKEN");
  return token === undefined ? undefined : checked(token, "GYRE_TOKEN");
}

function given(io: CliIo, name: string): string | undefined {
  const text = io.env[name];
  return text === "" ? undefined : text;
}

/** What cannot stand in a header is refused here: the words of the runtime would quote it. */
function checked(text: string, where: string): string {
  const token = text.trim();
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw new UsageError(`${where}: holds no token: one word of printable characters`);
}

function textOf(path: string, where: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error)
      throw new UsageError(`${where}=${path}: cannot be read: ${error.message}`);
    throw error;
  }
}

let trusted: string | undefined;

/** Believes the CA beside those that this machine believes; the built-in `fetch` has no other way. */
function trustCa(path: string | undefined): void {
  if (path === undefined || path === trusted) return;
  const pem = textOf(path, "--ca");
  if (!pem.includes("-----BEGIN CERTIFICATE-----")) throw new UsageError(`--ca=${path}: holds no certificate in PEM`);
  setDefaultCACertificates([...getCACertificates("default"), pem]);
  trusted = path;
}
