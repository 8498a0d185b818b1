/** Links of a lab that are cut and joined by chance. Must never judge what comes of it. */
import type { SeededDraws } from "../support/seeded.ts";
import { pause } from "./cluster.ts";
import type { NetLab } from "./net-lab.ts";

/** What kind of weather, and until when. */
export interface Weather {
  readonly draws: SeededDraws;
  isOver(): boolean;
}

/** A direction of a link changes its mind every 700 ms, in the mean: three of the twenty of five hosts each time. */
const LOSSY_EVERY_MS = 100;
const LOSSY_CHANGES = 3;
/** The longest that one scene of a moving split lasts. */
const SCENE_MS = 1_500;
const PERCENT = 100;

/** Cuts each direction of each link for `percent` of the time, one independently of the other; answers the share that it came to. */
export async function lose(lab: NetLab, percent: number, { draws, isOver }: Weather): Promise<number> {
  let cutSum = 0;
  let looks = 0;
  const change = ([from, to]: readonly [number, number]): void => {
    if (draws.below(PERCENT) < percent) lab.cut(from, to);
    else lab.join(from, to);
  };
  const directions = lab.directions;
  directions.forEach(change);
  while (!isOver()) {
    cutSum += lab.cutCount / directions.length;
    looks += 1;
    await pause(LOSSY_EVERY_MS);
    for (let i = 0; i < LOSSY_CHANGES; i += 1) change(directions[draws.below(directions.length)] ?? [0, 1]);
  }
  lab.heal();
  return cutSum / looks;
}

/** One split after another: a node alone, two against the rest, one direction only, each node cut from the two opposite ones, none. Answers how many there were. */
export async function moveSplits(lab: NetLab, { draws, isOver }: Weather): Promise<number> {
  let scenes = 0;
  for (; !isOver(); scenes += 1) {
    lab.heal();
    const hosts = lab.hosts;
    const at = (offset: number): number => (offset + scenes) % hosts.length;
    const rest = (some: readonly number[]): readonly number[] => hosts.filter((host) => !some.includes(host));
    const kinds = [
      () => lab.split([at(0)], rest([at(0)])),
      () => lab.split([at(0), at(1)], rest([at(0), at(1)])),
      () => lab.cut(at(0), at(1)),
      () => hosts.forEach((host) => lab.split([host], [(host + 2) % hosts.length])),
      () => undefined,
    ];
    kinds[draws.below(kinds.length)]?.();
    await pause(SCENE_MS / 3 + draws.below((SCENE_MS * 2) / 3));
  }
  lab.heal();
  return scenes;
}
