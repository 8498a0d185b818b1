/** Loaded before a node that plays a pod: names are those of the file in POD_NAMES alone, as a cluster's DNS has them, and read anew each time. */
import dns from "node:dns";
import { readFileSync } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { isIP } from "node:net";

/** @param {string} host @returns {string | undefined} */
function addressOf(host) {
  if (isIP(host) !== 0) return host;
  const names = JSON.parse(readFileSync(process.env["POD_NAMES"] ?? "", "utf8"));
  return names[host];
}

/** @param {string} host */
function notFound(host) {
  return Object.assign(new Error(`getaddrinfo ENOTFOUND ${host}`), { code: "ENOTFOUND", syscall: "getaddrinfo" });
}

dns.promises.lookup = async (/** @type {string} */ host, /** @type {{ all?: boolean }} */ options) => {
  const address = addressOf(host);
  if (address === undefined) throw notFound(host);
  const found = { address, family: 4 };
  return options?.all === true ? [found] : found;
};

dns.lookup = (/** @type {string} */ host, /** @type {{ all?: boolean }} */ options, /** @type {Function} */ done) => {
  const address = addressOf(host);
  if (address === undefined) setImmediate(() => done(notFound(host)));
  else if (options?.all === true) setImmediate(() => done(null, [{ address, family: 4 }]));
  else setImmediate(() => done(null, address, 4));
};
syncBuiltinESMExports();
