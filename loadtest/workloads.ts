/**
 * The workloads by name. YCSB's A, B, C, D and F with their mixes, Zipfian constant and records of 1 KB (brianfrankcooper/YCSB,
 * `workloads/`); the others are gyre's own bad days. E is not here: it scans ranges in key order, and a hash ring lists keys in
 * the order of their hashes.
 */
import type { Workload } from "./plan.ts";

const KIB = 1_024;
const BASE = {
  draw: "zipfian",
  recordCount: 1_000,
  valueBytes: KIB,
  rate: 200,
  seconds: 60,
  nodeCount: 3,
  faults: [],
  hasJourney: false,
} as const;

/** All workloads, in the order in which they are listed. */
export const WORKLOADS: readonly Workload[] = [
  {
    ...BASE,
    name: "smoke",
    meaning: "a journey through the API, then a little of everything, against a cluster of its own, within a minute",
    mix: { read: 0.5, update: 0.2, insert: 0.1, modify: 0.15, append: 0.05 },
    recordCount: 200,
    rate: 60,
    seconds: 12,
    hasJourney: true,
  },
  {
    ...BASE,
    name: "ycsb-a",
    meaning: "YCSB A: half reads, half blind updates, Zipfian keys",
    mix: { read: 0.5, update: 0.5 },
  },
  {
    ...BASE,
    name: "ycsb-b",
    meaning: "YCSB B: 95 % reads, 5 % blind updates, Zipfian keys",
    mix: { read: 0.95, update: 0.05 },
  },
  { ...BASE, name: "ycsb-c", meaning: "YCSB C: reads only, Zipfian keys", mix: { read: 1 } },
  {
    ...BASE,
    name: "ycsb-d",
    meaning: "YCSB D: 95 % reads of what was inserted last, 5 % inserts",
    mix: { read: 0.95, insert: 0.05 },
    draw: "latest",
  },
  {
    ...BASE,
    name: "ycsb-f",
    meaning: "YCSB F: half reads, half read-modify-writes with the context that was read",
    mix: { read: 0.5, modify: 0.5 },
  },
  {
    ...BASE,
    name: "hot-key",
    meaning: "nine of ten operations on one key, reads and blind updates",
    mix: { read: 0.8, update: 0.2 },
    draw: "hot",
  },
  {
    ...BASE,
    name: "large-values",
    meaning: "values of 256 KiB, reads and blind updates",
    mix: { read: 0.7, update: 0.3 },
    draw: "uniform",
    recordCount: 60,
    valueBytes: 256 * KIB,
    rate: 20,
  },
  {
    ...BASE,
    name: "siblings",
    meaning: "writers that add siblings (blind=sibling) beside writers that resolve what they read, on 40 keys",
    mix: { read: 0.3, append: 0.25, modify: 0.45 },
    draw: "uniform",
    recordCount: 40,
    valueBytes: 200,
    rate: 120,
  },
  {
    ...BASE,
    name: "churn",
    meaning: "YCSB F while every node in turn is killed and comes back",
    mix: { read: 0.5, modify: 0.4, append: 0.1 },
    faults: [
      { kind: "kill", node: 1, from: 0.1, to: 0.25 },
      { kind: "kill", node: 2, from: 0.4, to: 0.55 },
      { kind: "kill", node: 3, from: 0.7, to: 0.85 },
    ],
  },
  {
    ...BASE,
    name: "freeze",
    meaning: "YCSB F while one node stands still (SIGSTOP) and goes on later: nobody refuses its connections",
    mix: { read: 0.5, modify: 0.5 },
    faults: [{ kind: "freeze", node: 2, from: 0.3, to: 0.6 }],
  },
  {
    ...BASE,
    name: "split",
    meaning:
      "five nodes, of which the fifth is cut off from the others and not from clients, with writers on both sides",
    mix: { read: 0.5, modify: 0.3, append: 0.2 },
    nodeCount: 5,
    faults: [{ kind: "split", node: 5, from: 0.3, to: 0.6 }],
  },
];

/** The workload of that name, if there is one. */
export function workloadNamed(name: string): Workload | undefined {
  return WORKLOADS.find((workload) => workload.name === name);
}
