/**
 * The process of one node: windows from the adapters, the node, the client listener, signals, exit codes: 0 stopped cleanly,
 * 1 failed, 78 bad configuration. Must never keep running after the store has failed.
 */
import { resolve } from "node:path";
import { StoreUnusableError } from "../../storage/errors.ts";
import { hasStore, openLogEngine } from "../../storage/index.ts";
import { DiskError } from "../../storage/ports.ts";
import { askListener } from "../adapters/keep-alive-asker.ts";
import { createLoopDelayMeter } from "../adapters/loop-delay.ts";
import { createMemoryDisk } from "../adapters/memory-disk.ts";
import { openNodeDisk } from "../adapters/node-disk.ts";
import { createOtlpCollector } from "../adapters/otlp-collector.ts";
import type { PeerTls } from "../adapters/peer-tls.ts";
import { createPinoLog } from "../adapters/pino-log.ts";
import { createProcessLoad } from "../adapters/process-load.ts";
import { registerProcessMetrics } from "../adapters/process-metrics.ts";
import { createSecretFiles } from "../adapters/secret-files.ts";
import { createSystemClock } from "../adapters/system-clock.ts";
import { createSystemRandom } from "../adapters/system-random.ts";
import { tlsServerMaker } from "../adapters/tls-server.ts";
import { createUdpDatagrams } from "../adapters/udp-datagrams.ts";
import { createUndiciNetwork } from "../adapters/undici-network.ts";
import { type ApiServer, createApiServer } from "../api/server.ts";
import type { Config } from "../base/config.ts";
import type { Clock, Log } from "../base/ports.ts";
import { isLoopback } from "../base/setting-parsers.ts";
import { VERSION } from "../base/version.ts";
import { type CliIo, EXIT } from "../cli/io.ts";
import { readServerCommand, tellProblems } from "../cli/server-command.ts";
import { OwnRecordError } from "../cluster/own-record-check.ts";
import { hintEngineOptions } from "../handoff/hint-engine.ts";
import { SpanExporter } from "../tracing/span-exporter.ts";
import { apiPartsOf } from "./api-parts.ts";
import { GyreNode } from "./node.ts";
import { rehearse } from "./rehearsal.ts";
import { type NodeSecurity, openSecurity } from "./security.ts";
import { registerTraces } from "./trace-metrics.ts";
import type { NodeWindows } from "./windows.ts";

/** `gyre server`: runs a node until a signal or a fatal error; resolves early only when there is nothing to run. */
export async function runServer(argv: readonly string[], io: CliIo): Promise<void> {
  const command = readServerCommand(argv, io);
  if (command.kind === "exit") {
    process.exitCode = command.code;
    return;
  }
  const { config, warnings } = command;
  const level = config.logLevel === "trace" ? "debug" : config.logLevel;
  const log = createPinoLog({ level, isPretty: io.isTerminal, facts: { node: config.nodeId } });
  for (const warning of warnings) log.warn({ event: "config.warning", warning });
  process.on("uncaughtException", (error) => die(log, "process.bug", error));
  process.on("unhandledRejection", (error) => die(log, "process.bug", error));
  try {
    const clock = createSystemClock();
    const opened = await openSecurity(config, { clock, log, secretFiles: createSecretFiles() });
    if (opened.kind === "problems") {
      tellProblems(opened.problems, io);
      process.exit(EXIT.badConfig);
    }
    const { security } = opened;
    // From here on: while a store recovers, as ever after, it must not end the process.
    process.on("SIGHUP", () => void security.reload());
    await serve(config, { clock, log }, security);
  } catch (error) {
    log.error({ event: "node.start-failed", reason: reasonOf(error), error: isExpected(error) ? undefined : error });
    process.exit(error instanceof OwnRecordError ? EXIT.badConfig : EXIT.failed);
  }
}

async function serve(
  config: Config,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
  security: NodeSecurity,
): Promise<void> {
  const disk = await openNodeDisk(resolve(config.dataDir));
  const windows: NodeWindows = {
    clock,
    random: createSystemRandom(),
    network: createUndiciNetwork(peerTlsOf(security, config.peerTls, { clock, log })),
    datagrams: createUdpDatagrams(),
    disk,
    log,
    loopDelayMs: createLoopDelayMeter().read,
    load: createProcessLoad(),
  };
  // Who starts for the first time has no peers that wait with what it missed, and is to be there soon.
  if (config.rehearsal === "on" && (await hasStore(disk))) {
    // A certificate is for other names than loopback, and whoever reads the log of TLS reads of the cluster's.
    const network = config.peerTls === undefined ? windows.network : createUndiciNetwork();
    await rehearse({ config, windows: { ...windows, network }, emptyDisk: createMemoryDisk, ask: askListener });
    // Its stalls are not the node's.
    windows.loopDelayMs();
  }
  const { partitionCount, durability, diskReserveBytes } = config;
  const node = await GyreNode.start({
    config,
    windows,
    openStore: () => openLogEngine({ ...windows, partitionCount, durability, diskReserveBytes }),
    openHints: (count) =>
      openLogEngine({ ...windows, ...hintEngineOptions(disk, count), durability, diskReserveBytes }),
    onFatal: (error) => die(log, "node.failed", error),
  });
  const traces = tracesOf(config, windows);
  const api = apiOf(node, windows, security, traces);
  const address = await api.listen(config.httpAddress).catch(async (error: unknown) => {
    await node.stop();
    throw error;
  });
  const { mode: recovery, recordCount, durationMs } = node.engine.recovery;
  log.info({ event: "node.listening", http: address, peer: config.peerAddress, recovery, recordCount, durationMs });

  registerProcessMetrics(node.metrics, { node: config.nodeId, version: VERSION });
  security.start(node.metrics);
  if (traces !== undefined) registerTraces(node.metrics, traces);

  let isStopping = false;
  const stop = (signal: NodeJS.Signals): void => {
    if (isStopping) process.exit(EXIT.interrupted);
    isStopping = true;
    log.info({ event: "node.stopping", signal });
    node.announceStop();
    security.stop();
    const stopped = api.close().then(() => Promise.all([node.stop(), traces?.stop()]));
    stopped.then(
      () => {
        log.info({ event: "node.stopped" });
        process.exit(EXIT.ok);
      },
      (error: unknown) => die(log, "node.stop-failed", error),
    );
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
}

function peerTlsOf(
  { peerTls: source }: NodeSecurity,
  files: Config["peerTls"],
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): PeerTls | undefined {
  if (source === undefined) return undefined;
  return { source, name: files?.name, mode: files?.mode, log, nowMs: () => clock.monotonicMs() };
}

/** Nothing of it is there unless the configuration names a collector. */
function tracesOf(
  { otlp, nodeId, cluster, zone }: Config,
  { clock, random, log }: NodeWindows,
): SpanExporter | undefined {
  if (otlp === undefined) return undefined;
  const resource = {
    "service.name": "gyre",
    "service.namespace": cluster,
    "service.instance.id": nodeId,
    "service.version": VERSION,
    "gyre.zone": zone,
  };
  return new SpanExporter({
    collector: createOtlpCollector(otlp),
    clock,
    random: random.fork("spans"),
    log,
    resource,
  });
}

function apiOf(
  node: GyreNode,
  windows: NodeWindows,
  { tokens, tls }: NodeSecurity,
  traces: SpanExporter | undefined,
): ApiServer {
  const { isMetricsOpen, tls: files } = node.config;
  const needsCertificate = files?.clientCaFile !== undefined;
  const refusesForeignHosts = isLoopback(node.config.httpAddress) && !node.config.isInsecure;
  const guard = { tokens, isMetricsOpen, needsCertificate, refusesForeignHosts };
  const { log, clock } = windows;
  const maker = tls === undefined ? undefined : tlsServerMaker(tls, log, () => clock.monotonicMs());
  return createApiServer({ ...windows, ...apiPartsOf(node), ...guard, traces }, maker);
}

function die(log: Log, event: string, error: unknown): never {
  log.error({ event, error });
  process.exit(EXIT.failed);
}

function isExpected(error: unknown): boolean {
  return error instanceof OwnRecordError || error instanceof StoreUnusableError || error instanceof DiskError;
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if ("code" in error && error.code === "EADDRINUSE") return `${error.message}: another process has this address`;
  return error.message;
}
