/** What every implementation of the window on datagrams does: run on UDP over loopback and on the simulator's. */
import { afterEach, expect, test } from "vitest";
import type { DatagramSocket, Datagrams } from "../../gossip/index.ts";

/** One world to try datagrams in. */
export interface DatagramsHarness {
  readonly datagrams: Datagrams;
  /** an address to bind, with port 0 */
  readonly address: string;
  /** an address where nobody listens */
  readonly deadAddress: string;
  /** lets time pass until the condition holds; rejects when it never does */
  until(condition: () => boolean): Promise<void>;
}

interface Received {
  readonly text: string;
  readonly bytes: Uint8Array;
  readonly from: string;
}

/** The suite; `makeHarness` makes a fresh world for each test. */
export function datagramsContract(makeHarness: () => DatagramsHarness): void {
  const sockets: DatagramSocket[] = [];
  afterEach(async () => {
    for (const socket of sockets.splice(0)) await socket.close();
  });

  const open = async (harness: DatagramsHarness, address: string = harness.address) => {
    const socket = await harness.datagrams.open(address);
    sockets.push(socket);
    const received: Received[] = [];
    socket.listen((bytes, from) => received.push({ text: Buffer.from(bytes).toString(), bytes, from }));
    return { socket, received };
  };
  const pair = async (harness: DatagramsHarness) => ({ a: await open(harness), b: await open(harness) });

  test("a datagram arrives whole and says where it came from, so that it can be answered there", async () => {
    const harness = makeHarness();
    const { a, b } = await pair(harness);
    a.socket.send(Buffer.from("who is there?"), b.socket.address);
    await harness.until(() => b.received.length > 0);
    const question = b.received[0];
    expect(question).toMatchObject({ text: "who is there?", from: a.socket.address });
    b.socket.send(Buffer.from("it is me"), question?.from ?? "");
    await harness.until(() => a.received.length > 0);
    expect(a.received[0]).toMatchObject({ text: "it is me", from: b.socket.address });
  });

  test("a datagram of 1400 bytes is not cut", async () => {
    const harness = makeHarness();
    const { a, b } = await pair(harness);
    const bytes = Uint8Array.from({ length: 1_400 }, (_, index) => index % 251);
    a.socket.send(bytes, b.socket.address);
    await harness.until(() => b.received.length > 0);
    expect(Buffer.from(b.received[0]?.bytes ?? [])).toEqual(Buffer.from(bytes));
  });

  test("what was delivered is never changed by what comes after", async () => {
    const harness = makeHarness();
    const { a, b } = await pair(harness);
    for (let value = 1; value <= 20; value += 1) a.socket.send(new Uint8Array(1_000).fill(value), b.socket.address);
    await harness.until(() => b.received.length === 20);
    const values = b.received.map(({ bytes }) => new Set(bytes));
    expect(values.every((one) => one.size === 1)).toBe(true);
    expect(new Set(values.map((one) => [...one][0])).size).toBe(20);
  });

  test("nothing arrives within the call that sends", async () => {
    const harness = makeHarness();
    const { a } = await pair(harness);
    a.socket.send(Buffer.from("to myself"), a.socket.address);
    expect(a.received).toEqual([]);
    await harness.until(() => a.received.length > 0);
    expect(a.received[0]?.from).toBe(a.socket.address);
  });

  test("what is sent to where nobody listens is lost, and the socket goes on", async () => {
    const harness = makeHarness();
    const { a, b } = await pair(harness);
    a.socket.send(Buffer.from("lost"), harness.deadAddress);
    a.socket.send(Buffer.from("kept"), b.socket.address);
    await harness.until(() => b.received.length > 0);
    expect(b.received[0]?.text).toBe("kept");
  });

  test("what cannot be sent is counted and told, never thrown", async () => {
    const harness = makeHarness();
    const { a, b } = await pair(harness);
    const refusals: string[] = [];
    for (const to of ["", "nowhere", "127.0.0.1", "127.0.0.1:x"])
      a.socket.send(Buffer.from("lost"), to, (code) => refusals.push(code));
    await harness.until(() => refusals.length === 4);
    expect(a.socket.sendErrorCount).toBe(4);
    a.socket.send(Buffer.from("kept"), b.socket.address);
    await harness.until(() => b.received.length > 0);
    expect([a.socket.sendErrorCount, b.socket.sendErrorCount]).toEqual([4, 0]);
  });

  test("a closed socket delivers and sends nothing, and closing it again does no harm", async () => {
    const harness = makeHarness();
    const { a, b } = await pair(harness);
    const c = await open(harness);
    b.socket.send(Buffer.from("too late"), a.socket.address);
    await a.socket.close();
    await a.socket.close();
    a.socket.send(Buffer.from("ignored"), b.socket.address);
    c.socket.send(Buffer.from("last"), b.socket.address);
    await harness.until(() => b.received.length > 0);
    expect(b.received.map(({ text }) => text)).toEqual(["last"]);
    expect(a.received).toEqual([]);
  });

  test("an address that is taken cannot be bound; one that was given back can", async () => {
    const harness = makeHarness();
    const { a, b } = await pair(harness);
    await expect(harness.datagrams.open(a.socket.address)).rejects.toThrow(/ADDRINUSE/);
    await a.socket.close();
    const again = await open(harness, a.socket.address);
    b.socket.send(Buffer.from("hello again"), again.socket.address);
    await harness.until(() => again.received.length > 0);
    expect(again.socket.address).toBe(a.socket.address);
    expect(a.received).toEqual([]);
  });
}
