/** Operators of the hand-over's world: who joins, leaves, changes its weight, is switched off for good, or removed. */
import { type Life, N } from "./handover-life.ts";
import type { World } from "./handover-world.ts";

const MOST_NODES = 7;
const OTHER_PLACES = 1_000;
const SHY_STEPS = 900;

/** By its own state. */
export const isRunning = (life: Life): boolean => life.isUp && life.status !== "none";
const isAwake = (world: World, life: Life): boolean => isRunning(life) && life.pausedUntil <= world.now;
/** By its own state. */
export const isMember = (life: Life): boolean => life.status !== "none" && life.status !== "left";

/** One that runs, those that have left included, now and then. */
export function runningLife(world: World): Life | undefined {
  const running = world.lives.filter((life) => isAwake(world, life) && (life.status !== "left" || world.float() < 0.2));
  return running[world.below(running.length)];
}

/** Joins, leaves, and changes of mind, as each node's own operator would. */
export function changeMembership(world: World): void {
  const life = runningLife(world);
  if (life === undefined || world.float() > world.settings.changeRate) return;
  if (world.float() < 0.4 && !world.settings.isBackAndForth) {
    const spare = world.lives.find((one) => one.status === "none");
    if (spare !== undefined) join(world, spare);
    return;
  }
  if (!isRunning(life) || life.removed.has(life.index)) return;
  if (isActive(life) && (world.settings.isBackAndForth || world.float() < 0.3)) {
    weigh(world, life);
    return;
  }
  const active = world.lives.filter((one) => !world.removedByAnyone.has(one.index) && isActive(one));
  if (isActive(life) && active.length > N && world.float() < 0.5) {
    if (life.status === "joining") world.counts.aborts += 1;
    else world.counts.leaves += 1;
    world.setStatus(life, "leaving");
  } else if (life.status === "leaving" && world.float() < 0.3) {
    world.counts.aborts += 1;
    world.setStatus(life, "normal");
  }
}

/** Another weight: another place on the walk, or the old one again. Slots go to other members, and come back. */
function weigh(world: World, life: Life): void {
  world.counts.weighings += 1;
  life.position = life.position >= OTHER_PLACES ? life.position - OTHER_PLACES : life.position + OTHER_PLACES;
  world.commit(life, [], () => undefined);
}

const isActive = (life: Life): boolean => life.status === "joining" || life.status === "normal";

/** An empty member. `before`: the life of the same machine that it follows, and whose place on the walk it has. */
function join(world: World, life: Life, before?: Life): void {
  const present = world.lives.filter((one) => isMember(one) && !world.removedByAnyone.has(one.index));
  const seed = before ?? present[world.below(present.length)];
  if (seed === undefined || (before === undefined && !seed.isUp) || present.length >= MOST_NODES) return;
  world.counts.joins += 1;
  life.isUp = true;
  life.position = before?.position ?? life.index;
  if (!world.settings.isGentle && world.float() < 0.3) beShy(world, life);
  world.learn(life, seed.rows, seed.removed);
  world.setStatus(life, "joining");
}

function beShy(world: World, { index }: Life): void {
  world.shy.add(index);
  world.at(SHY_STEPS, () => world.shy.delete(index));
}

/**
 * Its machine goes on as another member, which knows of the life before; or is switched off, once enough others have heard
 * that it left. Nobody answers for it any more.
 */
export function retireOne(world: World): void {
  const gone = world.lives.filter((one) => one.durable.status === "left" && !world.retired.has(one.index));
  const life = gone[world.below(gone.length)];
  const spare = world.lives.find((one) => one.status === "none");
  if (life === undefined || world.removedByAnyone.has(life.index)) return;
  const present = world.lives.filter((one) => isMember(one) && !world.removedByAnyone.has(one.index));
  const knowing = present.filter((one) => one.rows[life.index]?.status === "left");
  const isBack = spare !== undefined && present.length < MOST_NODES && world.float() < 0.5;
  if (!isBack && knowing.length * 2 <= present.length) return;
  world.retired.add(life.index);
  if (life.isUp) world.crash(life);
  if (isBack) join(world, spare, life);
}

/** Those whose slots' former holders keep their old copies still. */
function receivers(world: World): Life[] {
  const keys = world.lives.flatMap(({ durable: { ledger } }) =>
    [...ledger.retained].flatMap((partition) => ledger.released.get(partition)?.to ?? []),
  );
  return keys.map((key) => world.life(Number(key)));
}

/** Those that gave slots to members of which the operator's node has not heard. */
function givers(world: World, { rows }: Life): Life[] {
  const isStrange = (to: string): boolean => rows[Number(to)] === undefined;
  return world.lives.filter(({ durable }) => [...durable.ledger.released.values()].some(({ to }) => isStrange(to)));
}

/** An operator gives up a member: mostly one that is down, sometimes one that runs on and has not heard of it. */
export function remove(world: World): void {
  const { isBeyondBearing, isBackAndForth, isGentle } = world.settings;
  if (isBackAndForth || (!isBeyondBearing && (world.counts.removals >= 3 || world.hasLoss()))) return;
  const operator = runningLife(world);
  // Rather one that is giving a slot away: that is when it hurts.
  const giving = world.lives.filter((one) => one.cores.some(({ donor }) => donor.attempt?.stage === "sealed"));
  // Or on the other side of a split, or one whose copy another still keeps, or that gave to somebody unknown here.
  const away = world.lives.filter((one) => isRunning(one) && operator !== undefined && world.isCut(operator, one));
  const given = isBeyondBearing ? receivers(world) : [];
  const strange = operator === undefined ? [] : givers(world, operator);
  const preferred = !isGentle && world.float() < 0.5 ? [...given, ...away, ...strange, ...strange] : giving;
  const victim = preferred[world.below(preferred.length)] ?? world.life(world.below(world.lives.length));
  if (operator === undefined || operator.removed.has(operator.index) || victim === operator || !isMember(victim))
    return;
  if (world.removedByAnyone.has(victim.index) || operator.rows[victim.index] === undefined) return;
  if (victim.isUp && world.float() < 0.5) world.crash(victim);
  const spare = world.lives.find((life) => life.status === "none");
  const active = world.lives.filter((one) => isActive(one) && !world.removedByAnyone.has(one.index) && one !== victim);
  const isReplaced = spare !== undefined && (active.length < N || world.float() < 0.5);
  if (active.length < N && !isReplaced) return;
  world.counts.removals += 1;
  operator.removed.add(victim.index);
  world.removedByAnyone.set(victim.index, world.now);
  world.noteLosses();
  if (isReplaced && spare !== undefined) {
    spare.isUp = true;
    spare.position = operator.rows[victim.index]?.position ?? victim.index;
    world.learn(spare, operator.rows, operator.removed);
    world.counts.joins += 1;
    world.setStatus(spare, "joining");
  }
}
