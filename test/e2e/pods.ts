/**
 * A StatefulSet on this machine: the manifests' own pods as processes, with a loopback address each that is another one after every
 * start, names as the headless Service gives them, disks that outlive pods, probes, preStop and grace, and a `kubectl` that scales it.
 * Must never give a pod anything that its manifest does not say, but addresses, names and places of files.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Fields, listAt, textAt } from "../../services/cli/manifests/yaml-text.ts";
import { fieldsAt, named, numberAt, ofKind } from "../k8s/objects.ts";
import { type CertificateWish, TestCa } from "../support/certificates.ts";
import { PATIENCE_MS, pause, until } from "./cluster.ts";

const MAIN = join(import.meta.dirname, "../../services/main.ts");
const NAMES_HOOK = join(import.meta.dirname, "pod-names.mjs");
const SECRET = "a secret of a test cluster";
/** Pods that a run may start: the certificate for clients is for the addresses of all of them. */
const MAX_STARTS = 100;

interface Pod {
  readonly child: ChildProcess;
  readonly ip: string;
  isPaused: boolean;
}

/** What a test changes of the manifests: settings of every node, and how long it really waits. */
export interface PodsOptions {
  readonly settings?: Readonly<Record<string, string>>;
}

/** The pods of the one StatefulSet among the objects. */
export class Pods implements AsyncDisposable {
  readonly #set: Fields;
  readonly #container: Fields;
  readonly #settings: Readonly<Record<string, string>>;
  readonly #folder: string = mkdtempSync(join(tmpdir(), "gyre-pods-"));
  /** 127.x.y: so that runs beside each other do not meet */
  readonly #network = `127.${20 + Math.floor(Math.random() * 200)}.${Math.floor(Math.random() * 250)}`;
  readonly #pods = new Map<number, Pod>();
  #replicas: number;
  #revision = 1;
  #starts = 1;

  constructor(objects: readonly Fields[], options: PodsOptions = {}) {
    const [set] = ofKind(objects, "StatefulSet");
    this.#set = set ?? {};
    this.#container = named(listAt(this.#set, "spec", "template", "spec", "containers"), "gyre") ?? {};
    this.#settings = options.settings ?? {};
    this.#replicas = numberAt(this.#set, "spec", "replicas");
    this.#writeSecrets();
    this.#tellNames();
    this.#writeKubectl();
  }

  /** What a command needs in its environment to find this `kubectl`. */
  get path(): string {
    return `${this.#folder}:${process.env["PATH"] ?? ""}`;
  }

  get replicas(): number {
    return this.#replicas;
  }

  /** The CA of all certificates, for clients. */
  get caPath(): string {
    return join(this.#folder, "tls/ca.crt");
  }

  /** The client address of a pod that runs. */
  url(ordinal: number): string {
    const scheme = textAt(this.#container, "readinessProbe", "httpGet", "scheme") === "HTTPS" ? "https" : "http";
    return `${scheme}://${this.#pods.get(ordinal)?.ip ?? "none"}:4400`;
  }

  /** Of all that run. */
  get urls(): readonly string[] {
    return [...this.#pods.keys()].toSorted((a, b) => a - b).map((ordinal) => this.url(ordinal));
  }

  log(ordinal: number): string {
    return readFileSync(join(this.#folder, `gyre-${ordinal}.log`), "utf8");
  }

  /** Starts pods that are missing, all at once, and ends those that are too many, the highest first. */
  async apply(): Promise<void> {
    for (let ordinal = 0; ordinal < this.#replicas; ordinal += 1) if (!this.#pods.has(ordinal)) this.start(ordinal);
    for (const ordinal of [...this.#pods.keys()].toSorted((a, b) => b - a)) {
      if (ordinal >= this.#replicas) await this.end(ordinal);
    }
  }

  /** All pods answer their readiness probe; throws with the last words of one that has ended. */
  untilReady(timeoutMs: number = PATIENCE_MS): Promise<number> {
    const ordinals = Array.from({ length: this.#replicas }, (_, ordinal) => ordinal);
    return until(
      "every pod ready",
      async () => {
        const ended = ordinals.find((ordinal) => !this.#pods.has(ordinal));
        if (ended !== undefined) throw new Error(`gyre-${ended} has ended: ${this.log(ended).slice(-1_000)}`);
        return (await Promise.all(ordinals.map((ordinal) => this.isReady(ordinal)))).every(Boolean);
      },
      timeoutMs,
    );
  }

  async isReady(ordinal: number): Promise<boolean> {
    const path = textAt(this.#container, "readinessProbe", "httpGet", "path");
    if (this.#pods.get(ordinal)?.isPaused === true) return false;
    return fetch(this.url(ordinal) + path, { signal: AbortSignal.timeout(1_000) }).then(
      (answer) => answer.status === 200,
      () => false,
    );
  }

  /** A new pod under its old name, on its old disk, at a new address. */
  start(ordinal: number): void {
    const ip = `${this.#network}.${this.#starts}`;
    const podIp = `pod-${this.#starts}`;
    this.#starts += 1;
    const output = openSync(join(this.#folder, `gyre-${ordinal}.log`), "a");
    const env = { ...this.#environment(ordinal, ip, podIp), POD_NAMES: join(this.#folder, "names.json") };
    const child = spawn(process.execPath, ["--import", NAMES_HOOK, MAIN, "server"], {
      stdio: ["ignore", output, output],
      env,
    });
    this.#pods.set(ordinal, { child, ip, isPaused: false });
    child.once("exit", () => {
      if (this.#pods.get(ordinal)?.child === child) this.#pods.delete(ordinal);
      this.#tellNames();
    });
    this.#tellNames();
  }

  /** Deletes a pod: preStop, SIGTERM, and SIGKILL after what is left of its grace; answers its exit code. */
  async end(ordinal: number): Promise<number | null> {
    const pod = this.#pods.get(ordinal);
    if (pod === undefined) return null;
    const ended = new Promise<number | null>((resolve) => pod.child.once("exit", resolve));
    const graceMs = numberAt(this.#set, "spec", "template", "spec", "terminationGracePeriodSeconds") * 1_000;
    const force = setTimeout(() => pod.child.kill("SIGKILL"), graceMs);
    pod.child.kill("SIGTERM");
    const code = await ended;
    clearTimeout(force);
    return code;
  }

  /** Loses a pod's machine and its disk. */
  async loseDisk(ordinal: number): Promise<void> {
    const pod = this.#pods.get(ordinal);
    const ended = new Promise((resolve) => pod?.child.once("exit", resolve));
    pod?.child.kill("SIGKILL");
    await ended;
    rmSync(this.#disk(ordinal), { recursive: true, force: true });
  }

  /** Cuts pods off, all that they say and hear. */
  freeze(ordinals: readonly number[]): void {
    this.#signal(ordinals, "SIGSTOP");
  }

  thaw(ordinals: readonly number[]): void {
    this.#signal(ordinals, "SIGCONT");
  }

  /** A new version: the highest ordinal first, each ready for a while before the next one. */
  async rollOut(minReadyMs: number, onStep: (ordinal: number) => Promise<void>): Promise<void> {
    this.#revision += 1;
    for (let ordinal = this.#replicas - 1; ordinal >= 0; ordinal -= 1) {
      const code = await this.end(ordinal);
      if (code !== 0) throw new Error(`gyre-${ordinal} ended with ${code}`);
      await onStep(ordinal);
      this.start(ordinal);
      await until(`gyre-${ordinal} ready again`, () => this.isReady(ordinal), PATIENCE_MS);
      await pause(minReadyMs);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = [...this.#pods.values()].map(({ child }) => {
      const gone = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGKILL");
      return gone;
    });
    await Promise.all(ended);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** What `kubectl` has been told since the last call is done: answers whether there was anything. */
  async obey(): Promise<boolean> {
    const told = readFileSync(join(this.#folder, "replicas"), "utf8").trim();
    // nothing is there while it is being written
    if (told === "" || Number(told) === this.#replicas) return false;
    const wanted = Number(told);
    this.#replicas = wanted;
    await this.apply();
    this.#tellWorkload();
    return true;
  }

  /** As somebody who runs `kubectl scale`, or applies another number, and asks nobody. */
  scaleByHand(to: number): void {
    writeFileSync(join(this.#folder, "replicas"), String(to));
  }

  #signal(ordinals: readonly number[], signal: NodeJS.Signals): void {
    for (const ordinal of ordinals) {
      const pod = this.#pods.get(ordinal);
      if (pod !== undefined) pod.isPaused = signal === "SIGSTOP";
      pod?.child.kill(signal);
    }
  }

  #disk(ordinal: number): string {
    return join(this.#folder, `data-gyre-${ordinal}`);
  }

  /** The variables of the manifest, and nothing of this process but where programs are. */
  #environment(ordinal: number, ip: string, podIp: string): Readonly<Record<string, string>> {
    const fields: Readonly<Record<string, string>> = { "status.podIP": podIp, "metadata.name": `gyre-${ordinal}` };
    const env: Record<string, string> = { PATH: process.env["PATH"] ?? "" };
    for (const entry of listAt(this.#container, "env")) {
      const field = textAt(entry, "valueFrom", "fieldRef", "fieldPath");
      const text = field === "" ? textAt(entry, "value") : (fields[field] ?? "");
      env[textAt(entry, "name")] = text
        .replace("$(POD_IP)", podIp)
        .replace(/^0\.0\.0\.0:/, `${ip}:`)
        .replace("/var/lib/gyre", this.#disk(ordinal))
        .replace("/etc/gyre/", `${this.#folder}/`);
    }
    mkdirSync(this.#disk(ordinal), { recursive: true });
    return { ...env, ...this.#settings };
  }

  /** What the manifest's Secrets would hold, in folders as it mounts them. */
  #writeSecrets(): void {
    const ca = new TestCa("pods");
    const addresses = Array.from({ length: MAX_STARTS }, (_, index) => `${this.#network}.${index + 1}`);
    const files = {
      "secret/secret": SECRET,
      ...tlsFiles("tls", ca, { name: "gyre", hosts: addresses }),
      ...tlsFiles("peer-tls", ca, { name: "gyre-peer", hosts: ["gyre-peer"] }),
    };
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(join(this.#folder, path, ".."), { recursive: true });
      writeFileSync(join(this.#folder, path), text, { mode: 0o600 });
    }
  }

  #tellNames(): void {
    const service = textAt(this.#set, "spec", "serviceName");
    const names = Object.fromEntries(
      [...this.#pods].flatMap(([ordinal, { ip }]) => [
        [`gyre-${ordinal}.${service}`, ip],
        [`pod-${ip.split(".").at(-1) ?? ""}`, ip],
      ]),
    );
    writeFileSync(join(this.#folder, "names.json"), JSON.stringify(names));
  }

  #tellWorkload(): void {
    const revision = String(this.#revision);
    const status = {
      observedGeneration: 1,
      readyReplicas: this.#pods.size,
      currentRevision: revision,
      updateRevision: revision,
    };
    const { name } = fieldsAt(this.#set, "metadata");
    const spec = { replicas: this.#replicas };
    const text = JSON.stringify({ kind: "StatefulSet", metadata: { name: name ?? "", generation: 1 }, spec, status });
    writeFileSync(join(this.#folder, "set.json"), text);
    writeFileSync(join(this.#folder, "replicas"), String(this.#replicas));
  }

  /** `get` prints the StatefulSet; `scale` notes the number, if the present one is the expected one. */
  #writeKubectl(): void {
    const folder = this.#folder;
    const script = [
      "#!/bin/sh",
      `case "$*" in`,
      `get*) cat ${folder}/set.json;;`,
      `scale*--current-replicas="$(cat ${folder}/replicas)"*) printf %s "\${4#--replicas=}" > ${folder}/replicas;;`,
      `*) echo "not as expected: $*" >&2; exit 1;;`,
      "esac",
    ];
    writeFileSync(join(folder, "kubectl"), `${script.join("\n")}\n`);
    chmodSync(join(folder, "kubectl"), 0o755);
    this.#tellWorkload();
  }
}

/** A Secret of type kubernetes.io/tls with its CA, as files. */
function tlsFiles(folder: string, ca: TestCa, wish: CertificateWish): Readonly<Record<string, string>> {
  const { cert, key } = ca.issue(wish);
  return { [`${folder}/tls.crt`]: cert, [`${folder}/tls.key`]: key, [`${folder}/ca.crt`]: ca.cert };
}
