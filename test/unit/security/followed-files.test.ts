import { describe, expect, test } from "vitest";
import { MetricsRegistry } from "../../../services/base/metrics.ts";
import type { LogFacts, SecretText } from "../../../services/base/ports.ts";
import { SECRET_FILES_LOOK_MS } from "../../../services/base/security-limits.ts";
import { CertificateWatch } from "../../../services/security/certificate-watch.ts";
import { FollowedFiles, type Understood } from "../../../services/security/followed-files.ts";
import { FakeClock } from "../../support/fake-clock.ts";

/** Files in memory, a log that is kept, and a clock that is turned by hand. */
class World {
  readonly clock = new FakeClock();
  readonly told: (LogFacts & { readonly level: string })[] = [];
  readonly files = new Map<string, { text: string; stamp: number }>();
  readonly taken: string[] = [];
  readonly log = {
    debug: this.#teller("debug"),
    info: this.#teller("info"),
    warn: this.#teller("warn"),
    error: this.#teller("error"),
  };
  readonly secretFiles = {
    stampOf: async (path: string): Promise<string> => String(this.files.get(path)?.stamp ?? "gone"),
    isOpenToAll: async (): Promise<boolean> => false,
    read: async (path: string): Promise<SecretText> => {
      const file = this.files.get(path);
      return file === undefined
        ? { kind: "unreadable", reason: "there is no such file" }
        : { kind: "text", text: file.text };
    },
  };
  readonly followed: FollowedFiles<string> = new FollowedFiles<string>({
    what: "things",
    files: [
      { variable: "GYRE_A", path: "a", maxBytes: 10 },
      { variable: "GYRE_B", path: "b", maxBytes: 10 },
    ],
    understand: (texts): Understood<string> => {
      const value = texts.map(({ text }) => text).join("+");
      return value.includes("bad") ? { kind: "problems", problems: [`${value}?`] } : { kind: "value", value };
    },
    onChange: (value) => this.taken.push(value),
    windows: this,
  });

  constructor() {
    this.write("a", "1");
    this.write("b", "1");
  }

  write(path: string, text: string): void {
    this.files.set(path, { text, stamp: (this.files.get(path)?.stamp ?? 0) + 1 });
  }

  /** Lets the next look happen. */
  async look(): Promise<void> {
    await this.clock.advance(SECRET_FILES_LOOK_MS);
  }

  #teller(level: string): (facts: LogFacts) => void {
    return (facts) => void this.told.push({ ...facts, level });
  }
}

describe("files that are followed", () => {
  test("are taken when one of them changes, and not otherwise", async () => {
    const world = new World();
    expect(await world.followed.open()).toEqual({ kind: "value", value: "1+1" });
    world.followed.follow();
    await world.look();
    expect(world.taken).toEqual([]);
    world.write("b", "2");
    await world.look();
    await world.look();
    expect(world.taken).toEqual(["1+2"]);
    expect(world.told).toMatchObject([{ level: "info", event: "security.reloaded", what: "things" }]);
  });

  test("that became wrong change nothing, loudly, until they are right again", async () => {
    const world = new World();
    await world.followed.open();
    world.followed.follow();
    world.write("a", "bad");
    await world.look();
    expect([world.taken, world.followed.isRejected, world.followed.rejectedCount]).toEqual([[], true, 1]);
    expect(world.told).toMatchObject([{ level: "error", event: "security.reload-rejected", problems: ["bad+1?"] }]);
    world.files.delete("a");
    await world.look();
    expect(world.told.at(-1)).toMatchObject({ problems: ["GYRE_A=a: cannot be read: there is no such file"] });
    world.write("a", "3");
    await world.look();
    expect([world.taken, world.followed.isRejected]).toEqual([["3+1"], false]);
  });

  test("that are wrong for now are tried again, and told of once", async () => {
    const world = new World();
    await world.followed.open();
    world.followed.follow();
    world.write("a", "bad");
    for (let time = 0; time < 5; time += 1) await world.look();
    expect(world.told).toHaveLength(1);
    const { stamp } = world.files.get("a") ?? { stamp: 0 };
    world.files.set("a", { text: "now right", stamp });
    await world.look();
    expect(world.taken).toEqual(["now right+1"]);
  });

  test("are read at once when somebody says so, also while they are being read", async () => {
    const world = new World();
    await world.followed.open();
    await Promise.all([world.followed.reload(), world.followed.reload()]);
    for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
    expect(world.taken).toEqual(["1+1", "1+1"]);
  });

  test("are left alone after the end", async () => {
    const world = new World();
    await world.followed.open();
    world.followed.follow();
    world.followed.stop();
    world.write("a", "2");
    await world.look();
    expect(world.taken).toEqual([]);
  });
});

describe("the watch over certificates", () => {
  const DAY_MS = 86_400_000;
  const sourceOf = (expiresAtMs: number): ConstructorParameters<typeof CertificateWatch>[0]["client"] => ({
    current: () => ({ cert: "", key: "", ca: undefined, expiresAtMs, expires: "some day" }),
    onChange: () => undefined,
  });

  test.each([
    [20, undefined],
    [13, "warn"],
    [-1, "error"],
  ])("says of one that ends in %d days: %s", async (days, level) => {
    const world = new World();
    const nowMs = world.clock.wallMicros() / 1_000;
    const watch = new CertificateWatch({ client: undefined, peer: sourceOf(nowMs + days * DAY_MS) }, world);
    watch.start();
    expect(world.told.map((line) => line.level)).toEqual(level === undefined ? [] : [level]);
    await world.clock.advance(DAY_MS * 2.5);
    expect(world.told.length, "once a day").toBe(level === undefined ? 0 : 3);
    watch.stop();
  });

  test("shows the seconds that are left", () => {
    const world = new World();
    const watch = new CertificateWatch(
      { client: sourceOf(world.clock.wallMicros() / 1_000 + 5_000), peer: undefined },
      world,
    );
    const metrics = new MetricsRegistry();
    watch.register(metrics);
    expect(metrics.render()).toContain('gyre_tls_certificate_expires_seconds{listener="client"} 5\n');
  });
});
