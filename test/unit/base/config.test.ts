import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Config, type ConfigResult, readConfig } from "../../../services/base/config.ts";
import { ALL_KNOBS, variableOf } from "../../../services/base/knobs.ts";
import type { FileText } from "../../../services/base/setting-sources.ts";

interface Given {
  readonly argv?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly files?: Readonly<Record<string, string>>;
  readonly hostname?: string;
}

function read(given: Given): ConfigResult {
  const readText = (path: string): FileText => {
    const text = given.files?.[path];
    return text === undefined ? { kind: "unreadable", reason: "no such file" } : { kind: "text", text };
  };
  return readConfig({ argv: given.argv ?? [], env: given.env ?? {}, readText, hostname: given.hostname ?? "box" });
}

function configOf(given: Given): Config {
  const result = read(given);
  if (result.kind === "problems") throw new Error(result.problems.join("\n"));
  return result.config;
}

function problemsOf(given: Given): readonly string[] {
  const result = read(given);
  return result.kind === "problems" ? result.problems : [];
}

const SECRET = "0123456789abcdef";
const PEER_TLS = { GYRE_PEER_TLS_CERT: "c.pem", GYRE_PEER_TLS_KEY: "k.pem", GYRE_PEER_TLS_CA: "ca.pem" };
const THREE = { GYRE_SEEDS: "127.0.0.1:4501,127.0.0.1:4502", GYRE_BOOTSTRAP_EXPECT: "3" };

describe("the configuration of a node", () => {
  test("needs nothing: a lone node on loopback, with one replica", () => {
    expect(configOf({})).toEqual({
      nodeId: "box",
      cluster: "gyre",
      dataDir: ".gyre/box",
      httpAddress: "127.0.0.1:4400",
      peerAddress: "127.0.0.1:4500",
      advertiseAddress: "127.0.0.1:4500",
      seeds: [],
      bootstrapExpect: 1,
      join: "manual",
      gossipProfile: "fast",
      diskReserveBytes: 8 * 1024 ** 3,
      hintsMaxBytes: undefined,
      hintsWindowMs: 10_800_000,
      tombstoneAgeMs: 3_600_000,
      zone: "default",
      host: "box",
      weight: 1,
      partitionCount: 1024,
      n: 1,
      r: 1,
      w: 1,
      durability: "fsync",
      secret: undefined,
      previousSecret: undefined,
      isInsecure: false,
      tokensFile: undefined,
      isMetricsOpen: false,
      tls: undefined,
      peerTls: undefined,
      rehearsal: "on",
      logLevel: "info",
    });
  });

  test("has three replicas and quorums of two as soon as there are others", () => {
    expect(configOf({ env: THREE })).toMatchObject({ n: 3, r: 2, w: 2, bootstrapExpect: 3 });
    expect(configOf({ env: { GYRE_BOOTSTRAP_EXPECT: "3" } })).toMatchObject({ n: 3, seeds: [] });
  });

  test("cannot be changed once it is read", () => {
    expect(Object.isFrozen(configOf({}))).toBe(true);
  });

  test("takes flags over environment over file over defaults, and says where each came from", () => {
    const given = {
      argv: ["--zone", "from-flag"],
      env: { GYRE_CONFIG: "gyre.json", GYRE_ZONE: "from-env", GYRE_HOST: "from-env" },
      files: { "gyre.json": '{"zone":"from-file","host":"from-file","cluster":"from-file","weight":2}' },
    };
    expect(configOf(given)).toMatchObject({ zone: "from-flag", host: "from-env", cluster: "from-file", weight: 2 });
    const result = read(given);
    const origins = result.kind === "config" ? result.settings.map((line) => `${line.variable} ${line.origin}`) : [];
    expect(origins).toEqual(
      expect.arrayContaining(["GYRE_ZONE flag", "GYRE_HOST env", "GYRE_CLUSTER file", "GYRE_LOG_LEVEL default"]),
    );
  });

  test("writes flags as --name value, --name=value, or --name alone for a switch", () => {
    const config = configOf({ argv: ["--n=1", "--node-id", "n7", "--insecure", "--weight", "2.5"] });
    expect(config).toMatchObject({ n: 1, nodeId: "n7", isInsecure: true, weight: 2.5 });
    expect(configOf({ argv: ["--insecure", "false"] }).isInsecure).toBe(false);
  });

  test("takes seeds with commas or as a list in the file, and gives them the default port", () => {
    const files = { "a.json": '{"seeds":["127.0.0.1:4501","localhost"],"bootstrap-expect":3}' };
    expect(configOf({ argv: ["--config", "a.json"], files }).seeds).toEqual(["127.0.0.1:4501", "localhost:4500"]);
    expect(configOf({ env: { ...THREE, GYRE_SEEDS: "[::1]:4501, localhost:1" } }).seeds).toEqual([
      "[::1]:4501",
      "localhost:1",
    ]);
  });

  test("ignores empty variables and those that Kubernetes makes for a Service named gyre", () => {
    const env = {
      GYRE_ZONE: "",
      GYRE_SERVICE_HOST: "10.0.0.1",
      GYRE_SERVICE_PORT_CLIENT: "4400",
      GYRE_PORT: "tcp://10.0.0.1:4400",
      GYRE_CLIENT_PORT_4400_TCP_ADDR: "10.0.0.1",
      GYRE_NODES: "http://127.0.0.1:4401",
      PATH: "/bin",
    };
    expect(configOf({ env }).zone).toBe("default");
  });

  test("takes how to join and the timers of gossip", () => {
    const config = configOf({ argv: ["--join", "auto"], env: { GYRE_GOSSIP_PROFILE: "wan" } });
    expect(config).toMatchObject({ join: "auto", gossipProfile: "wan" });
  });

  test.each([
    ["512MiB", "90s", 512 * 1024 ** 2, 90_000],
    ["2GiB", "30m", 2 * 1024 ** 3, 1_800_000],
    ["1048576", "2d", 1_048_576, 172_800_000],
  ])("takes how much is kept for others, and how long: %s, %s", (size, time, hintsMaxBytes, hintsWindowMs) => {
    const env = { GYRE_HINTS_MAX_BYTES: size, GYRE_HINTS_WINDOW: time };
    expect(configOf({ env })).toMatchObject({ hintsMaxBytes, hintsWindowMs });
  });

  test("takes how old tombstones become, and warns of clocks where that is little", () => {
    expect(configOf({ env: { GYRE_TOMBSTONE_AGE: "2h" } })).toMatchObject({ tombstoneAgeMs: 7_200_000 });
    const warningsOf = (age: string): readonly string[] => {
      const result = read({ env: { GYRE_TOMBSTONE_AGE: age } });
      return result.kind === "config" ? result.warnings : [];
    };
    expect(warningsOf("10m")).toEqual([]);
    expect(warningsOf("30s")).toEqual([expect.stringContaining("clocks")]);
  });

  test.each([
    { GYRE_HINTS_MAX_BYTES: "1KiB" },
    { GYRE_HINTS_MAX_BYTES: "lots" },
    { GYRE_HINTS_MAX_BYTES: "1.5GiB" },
    { GYRE_HINTS_WINDOW: "3" },
    { GYRE_HINTS_WINDOW: "0s" },
    { GYRE_HINTS_WINDOW: "3 hours" },
    { GYRE_HINTS_WINDOW: "400d" },
    { GYRE_TOMBSTONE_AGE: "9s" },
    { GYRE_TOMBSTONE_AGE: "an hour" },
  ])("refuses %o in words", (env) => {
    const [name] = Object.keys(env);
    expect(problemsOf({ env })).toEqual([expect.stringContaining(`${name}=`)]);
  });

  test("takes the secret before this one from its knob or a file, and shows neither", () => {
    const older = "fedcba9876543210";
    const files = { "old.key": `${older}\n` };
    for (const previous of [{ GYRE_SECRET_PREVIOUS: older }, { GYRE_SECRET_PREVIOUS_FILE: "old.key" }]) {
      const given = { env: { GYRE_SECRET: SECRET, ...previous }, files };
      expect(configOf(given)).toMatchObject({ secret: SECRET, previousSecret: older });
      const result = read(given);
      expect(JSON.stringify(result.kind === "config" ? result.settings : older)).not.toContain(older);
    }
  });

  test("reads the secret from a file, without the line's end, and never shows it", () => {
    const given = { env: { GYRE_SECRET_FILE: "s" }, files: { s: `${SECRET}\n` } };
    expect(configOf(given).secret).toBe(SECRET);
    const shownText = JSON.stringify(read({ env: { GYRE_SECRET: SECRET } }));
    expect(shownText.match(new RegExp(SECRET, "g"))?.length, "once, in the config itself").toBe(1);
    expect(problemsOf({ argv: ["--secret", "kept-quiet"] }).join()).not.toContain("kept-quiet");
  });
});

describe("a wrong configuration", () => {
  test("is told whole: every problem of every source at once", () => {
    const problems = problemsOf({
      argv: ["--sync", "yes", "stray", "--http", "nowhere:99999"],
      env: { GYRE_CONFIG: "gyre.json", GYRE_DATADIR: "x", GYRE_WEIGHT: "heavy", GYRE_R: "2", GYRE_TLS_CERT: "c.pem" },
      files: { "gyre.json": '{"dataDir":"x","zone":{},"partitions":1000}' },
    });
    const heads = problems.map((problem) => problem.split(/[:=]/)[0] ?? "");
    expect(heads.toSorted()).toEqual(
      [
        "--sync",
        "stray",
        "GYRE_DATADIR",
        '"dataDir" in gyre.json',
        '"zone" in gyre.json',
        "--http",
        "GYRE_WEIGHT",
        '"partitions"',
        "GYRE_TLS_KEY",
        "GYRE_R",
      ].toSorted(),
    );
  });

  test.each([
    { given: { argv: ["--datadir", "x"] }, says: "--datadir: there is no such flag; did you mean --data-dir?" },
    { given: { env: { GYRE_SEED: "x" } }, says: "GYRE_SEED: there is no such variable; did you mean GYRE_SEEDS?" },
    { given: { argv: ["--zone"] }, says: "--zone: needs a value" },
    { given: { argv: ["--zone", "a", "--zone=b"] }, says: "--zone: is given twice" },
    { given: { env: { GYRE_CONFIG: "gone.json" } }, says: "GYRE_CONFIG=gone.json: cannot be read: no such file" },
    { given: { argv: ["--config", "a"], files: { a: "[]" } }, says: "GYRE_CONFIG=a: is not a JSON object" },
    {
      given: { env: { GYRE_PARTITIONS: "1000" } },
      says: "GYRE_PARTITIONS=1000: is not a power of two from 64 to 4096",
    },
    { given: { env: { GYRE_DURABILITY: "maybe" } }, says: "GYRE_DURABILITY=maybe: is none of fsync, os" },
    { given: { env: { GYRE_N: "8" } }, says: "GYRE_N=8: is not a whole number from 1 to 7" },
    { given: { env: { ...THREE, GYRE_R: "4" } }, says: "GYRE_R=4 exceeds GYRE_N=3: no read could ever answer" },
    {
      given: { env: { ...THREE, GYRE_W: "5" } },
      says: "GYRE_W=5 exceeds GYRE_N=3: no write could ever be acknowledged",
    },
    { given: { env: { ...THREE, GYRE_BOOTSTRAP_EXPECT: "2" } }, says: "GYRE_BOOTSTRAP_EXPECT=2 is less than GYRE_N=3" },
    { given: { env: { GYRE_N: "3" } }, says: "GYRE_BOOTSTRAP_EXPECT=1 is less than GYRE_N=3" },
    { given: { env: { GYRE_SEEDS: "127.0.0.1:4501" } }, says: "GYRE_BOOTSTRAP_EXPECT: is needed with GYRE_SEEDS" },
    {
      given: { env: { ...THREE, GYRE_SEEDS: "10.0.0.2:4500" } },
      says: "GYRE_ADVERTISE=127.0.0.1:4500 is loopback, but",
    },
    {
      given: { env: { GYRE_PEER: "0.0.0.0:4500", GYRE_SECRET: SECRET } },
      says: "GYRE_ADVERTISE=0.0.0.0:4500 is every address",
    },
    {
      given: { env: { GYRE_PEER: "10.0.0.1:4500" } },
      says: "GYRE_SECRET or GYRE_SECRET_FILE is needed, because 10.0.0.1:4500",
    },
    {
      given: { env: { GYRE_HTTP: "0.0.0.0:4400", GYRE_SECRET: SECRET } },
      says: "GYRE_HTTP=0.0.0.0:4400 would open the client API",
    },
    {
      given: { env: { GYRE_SECRET: "short" } },
      says: "GYRE_SECRET: has 5 characters, a cluster secret has at least 16",
    },
    { given: { env: { GYRE_SECRET: SECRET, GYRE_SECRET_FILE: "s" }, files: { s: SECRET } }, says: "give one of them" },
    { given: { env: { GYRE_SECRET_PREVIOUS: SECRET } }, says: "GYRE_SECRET_PREVIOUS: is of use only beside" },
    {
      given: { env: { GYRE_SECRET: SECRET, GYRE_SECRET_PREVIOUS: SECRET } },
      says: "GYRE_SECRET_PREVIOUS: is the same as GYRE_SECRET",
    },
    {
      given: { env: { GYRE_SECRET: SECRET, GYRE_SECRET_PREVIOUS_FILE: "gone" } },
      says: "GYRE_SECRET_PREVIOUS_FILE=gone: cannot be read",
    },
    { given: { env: { GYRE_JOIN: "later" } }, says: "GYRE_JOIN=later: is none of manual, auto" },
    { given: { env: { GYRE_GOSSIP_PROFILE: "lan" } }, says: "GYRE_GOSSIP_PROFILE=lan: is none of fast, steady, wan" },
    { given: { env: { GYRE_HTTP: "127.0.0.1:4500" } }, says: "GYRE_HTTP and GYRE_PEER are both 127.0.0.1:4500" },
    { given: { env: { GYRE_TLS_CERT: "c.pem" } }, says: "GYRE_TLS_KEY: needed with GYRE_TLS_CERT" },
    { given: { env: { GYRE_TLS_KEY: "k.pem" } }, says: "GYRE_TLS_CERT: needed with GYRE_TLS_KEY" },
    { given: { env: { GYRE_TLS_CLIENT_CA: "ca.pem" } }, says: "GYRE_TLS_CLIENT_CA: is of use only with GYRE_TLS_CERT" },
    {
      given: { env: { GYRE_PEER_TLS_KEY: "k.pem" } },
      says: "GYRE_PEER_TLS_CERT and GYRE_PEER_TLS_CA: needed with GYRE_PEER_TLS_KEY",
    },
    {
      given: { env: { GYRE_PEER_TLS_KEY: "k.pem", GYRE_PEER_TLS_CERT: "c.pem" } },
      says: "GYRE_PEER_TLS_CA: needed with GYRE_PEER_TLS_CERT",
    },
    {
      given: { env: { GYRE_PEER_TLS_MODE: "accept" } },
      says: "GYRE_PEER_TLS_MODE: is of use only with GYRE_PEER_TLS_CERT",
    },
    {
      given: { env: { ...PEER_TLS, GYRE_PEER_TLS_MODE: "optional" } },
      says: "GYRE_PEER_TLS_MODE=optional: is none of accept, prefer, required",
    },
    { given: { hostname: "-bad-" }, says: 'GYRE_NODE_ID: is not given, and the host name "-bad-" is not a node id' },
  ])("says $says", ({ given, says }) => {
    const problems = problemsOf(given);
    expect(problems.filter((problem) => problem.includes(says))).toHaveLength(1);
    expect(problems, "and nothing that only follows from it").toHaveLength(1);
  });

  test("beyond loopback is accepted with a secret and GYRE_INSECURE", () => {
    const env = { GYRE_HTTP: "0.0.0.0:4400", GYRE_PEER: "10.0.0.1:4500", GYRE_SECRET: SECRET, GYRE_INSECURE: "true" };
    expect(configOf({ env })).toMatchObject({ httpAddress: "0.0.0.0:4400", advertiseAddress: "10.0.0.1:4500" });
  });

  test("beyond loopback is accepted with tokens, and warned of without TLS", () => {
    const open = { GYRE_HTTP: "0.0.0.0:4400", GYRE_SECRET: SECRET, GYRE_TOKENS_FILE: "t.json" };
    const warned = (env: Readonly<Record<string, string>>): readonly string[] => {
      const result = read({ env });
      return result.kind === "config" ? result.warnings : ["refused"];
    };
    expect(warned(open)).toEqual([expect.stringContaining("takes tokens without TLS")]);
    expect(warned({ ...open, GYRE_TLS_CERT: "c", GYRE_TLS_KEY: "k" })).toEqual([]);
    expect(warned({ ...open, GYRE_HTTP: "127.0.0.1:1", GYRE_PEER: "10.0.0.1:4500" })).toEqual([
      expect.stringContaining("GYRE_PEER=10.0.0.1:4500 is not encrypted"),
    ]);
  });

  test("has links with TLS alone, unless it says otherwise, and is then warned of", () => {
    expect(configOf({ env: PEER_TLS }).peerTls?.mode).toBe("required");
    for (const [mode, words] of [
      ["accept", "certificate, and dials without TLS: values cross the network as they are; go on to prefer"],
      ["prefer", "certificate: go on to required"],
      ["required", undefined],
    ] as const) {
      const result = read({ env: { ...PEER_TLS, GYRE_PEER_TLS_MODE: mode } });
      if (result.kind !== "config") throw new Error("refused");
      expect(result.config.peerTls?.mode).toBe(mode);
      const whole = `GYRE_PEER_TLS_MODE=${mode} takes links without TLS and without a ${words}`;
      expect(result.warnings).toEqual(words === undefined ? [] : [expect.stringContaining(whole)]);
    }
  });

  test("that is only unwise is a warning", () => {
    const result = read({ env: { ...THREE, GYRE_R: "1", GYRE_W: "1", GYRE_DURABILITY: "os" } });
    expect(result.kind === "config" ? result.warnings.length : 0).toBe(2);
  });

  test.each([
    ["16GiB", 16 * 1024 ** 3],
    ["off", 0],
  ])("takes %s as what is kept free of the disk", (text, bytes) => {
    expect(configOf({ env: { GYRE_DISK_RESERVE: text } })).toMatchObject({ diskReserveBytes: bytes });
  });

  test("never gets through: whatever the texts are, the answer is a sound configuration or words", () => {
    const variables = ALL_KNOBS.map(variableOf);
    const text = fc.oneof(
      fc.string(),
      fc.integer({ min: 0, max: 5000 }).map(String),
      fc.constantFrom("localhost", "::", "true", ":1"),
    );
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...variables), text, { maxKeys: 6 }), (env) => {
        const result = read({ env });
        if (result.kind === "problems") {
          expect(result.problems.length).toBeGreaterThan(0);
          return;
        }
        const { n, r, w, bootstrapExpect, partitionCount, weight } = result.config;
        expect(
          r <= n && w <= n && n <= bootstrapExpect && Number.isInteger(Math.log2(partitionCount)) && weight > 0,
        ).toBe(true);
      }),
    );
  });
});
