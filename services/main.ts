/**
 * The process entry: `server` runs one node, every other command is the client's. Must never hold more than the choice.
 *
 * Stripping types costs about a second of processor time at a cold start; Node's compile cache makes it a third of that
 * from the second start on, and it must be on before anything else is loaded: hence the imports below.
 */
import { enableCompileCache } from "node:module";

enableCompileCache();
// Read by the runtime when its pool is first used, which is after this line (tried with Node 26: 8 threads named
// libuv-worker). Of the usual four, three cold reads, zero-filling and sealing would leave none to the log's writer.
process.env["UV_THREADPOOL_SIZE"] ??= "8";
const { processIo } = await import("./cli/io.ts");
const [command, ...rest] = process.argv.slice(2);
if (command === "server") {
  const { runServer } = await import("./node/server-process.ts");
  await runServer(rest, processIo());
} else {
  const { runCli } = await import("./cli/cli.ts");
  process.exitCode = await runCli(process.argv.slice(2), processIo());
}
