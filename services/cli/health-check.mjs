#!/usr/bin/env node
// What a container engine asks of time to time: does the node of this container take requests? Exit code 0 or 1, and why.
// Plain JavaScript without the command line: it runs every few seconds, and types take time to strip.
import { get as getPlain } from "node:http";
import { get as getSecure } from "node:https";

const TIMEOUT_MS = 3_000;
const [, port = "4400"] = /:(\d+)$/.exec(process.env.GYRE_HTTP ?? "") ?? [];
const isSecure = (process.env.GYRE_TLS_CERT ?? "") !== "";
// The certificate names the node as others know it, not this loopback address; what is asked here is no secret.
const options = { host: "127.0.0.1", port, path: "/readyz?verbose", timeout: TIMEOUT_MS, rejectUnauthorized: false };

// Until it is proven: whatever ends the check otherwise, such as an answer that breaks off, is no health.
process.exitCode = 1;

function end(code, words) {
  process.stdout.write(`${words.trim()}\n`);
  process.exitCode = code;
}

const request = (isSecure ? getSecure : getPlain)(options, (response) => {
  let text = "";
  response.setEncoding("utf8");
  response.on("data", (chunk) => {
    text = (text + chunk).slice(0, 2_000);
  });
  response.on("error", (error) => end(1, error.message));
  response.on("end", () => end(response.statusCode === 200 ? 0 : 1, text));
});
request.on("timeout", () => request.destroy(new Error(`no answer within ${TIMEOUT_MS} ms`)));
request.on("error", (error) => end(1, error.message));
