/** How fast virtual time runs: events with a promise each, and whole calls between two simulated nodes. Usage: node test/bench/sim-bench.ts */
import { Scheduler } from "../sim/scheduler.ts";
import { SimPeers } from "../support/sim-peers.ts";

async function events(): Promise<void> {
  const scheduler = new Scheduler("bench");
  const sleep = (ms: number): Promise<void> =>
    new Promise((fulfil) => {
      scheduler.after(ms, fulfil);
    });
  const task = async (): Promise<void> => {
    for (let step = 0; step < 10_000; step += 1) await sleep(step % 7);
  };
  for (let i = 0; i < 50; i += 1) void task();
  const startedMs = performance.now();
  await scheduler.run({});
  const seconds = (performance.now() - startedMs) / 1_000;
  console.log(`events, each waking a promise: ${Math.round(scheduler.eventCount / seconds)} per second`);
}

async function calls(): Promise<void> {
  const world = new SimPeers("bench");
  const { a, b } = await world.pair();
  let callCount = 0;
  const again = (): void => {
    a.links.call(b.id, { kind: "ask", topic: "t", body: callCount }, 1_000, () => {
      callCount += 1;
      again();
    });
  };
  world.scheduler.after(0, again, a.process);
  const startedMs = performance.now();
  const before = world.scheduler.eventCount;
  await world.until(() => callCount === 20_000);
  const seconds = (performance.now() - startedMs) / 1_000;
  const perSecond = Math.round((world.scheduler.eventCount - before) / seconds);
  console.log(`calls between two nodes: ${Math.round(callCount / seconds)} per second, ${perSecond} events per second`);
}

await events();
await calls();
