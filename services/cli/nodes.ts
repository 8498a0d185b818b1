/** Which nodes a command talks to: the flag, else GYRE_NODES, else the local cluster of this directory, else the default. */
import { readFileSync } from "node:fs";
import { addressFlaw } from "../client/blocked-ports.ts";
import { GyreClient } from "../client/client.ts";
import type { CommandLine } from "./command.ts";
import { UsageError } from "./command.ts";
import { fetchOf } from "./credentials.ts";
import type { CliIo } from "./io.ts";
import { LOCAL_CLUSTER_FILE, parseLocalCluster } from "./local-layout.ts";

const DEFAULT_NODE = "http://127.0.0.1:4400";

function parseUrls(text: string): readonly string[] {
  return text.split(",").map((part) => {
    const trimmed = part.trim();
    const url = URL.parse(trimmed.includes("://") ? trimmed : `http://${trimmed}`);
    const isFine = url !== null && /^https?:$/.test(url.protocol) && url.host !== "" && url.pathname === "/";
    if (!isFine) throw new UsageError(`"${trimmed}" is not the address of a node: write http://host:port`);
    const flaw = addressFlaw(url.origin);
    if (flaw !== undefined) throw new UsageError(`"${trimmed}": ${flaw}`);
    return url.origin;
  });
}

function localNodes(): readonly string[] | undefined {
  try {
    return parseLocalCluster(readFileSync(LOCAL_CLUSTER_FILE, "utf8"))?.clientUrls;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}

/** The client URLs of the nodes, at least one. */
export function nodesOf(line: CommandLine, io: CliIo): readonly string[] {
  const given = line.text("nodes") ?? io.env["GYRE_NODES"];
  if (given !== undefined && given !== "") return parseUrls(given);
  return localNodes() ?? [DEFAULT_NODE];
}

/** A client of those nodes. */
export function clientOf(line: CommandLine, io: CliIo): GyreClient {
  return new GyreClient({ nodes: nodesOf(line, io), fetch: fetchOf(line, io) });
}
