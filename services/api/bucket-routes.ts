/** The buckets: list, read, make, change, remove their settings (API §3). Must never touch keys. */
import type { BucketSettings } from "../base/bucket-settings.ts";
import type { BucketName } from "../base/ids.ts";
import { settingsConflict, settingsIn } from "./bucket-settings.ts";
import type { Incoming, Reply, Route } from "./exchange.ts";
import { callerOf } from "./gatekeeper.ts";
import type { BucketChange, BucketDirectory } from "./ports.ts";
import { refusal, refusalForNow } from "./problem.ts";
import { parseQuery } from "./query.ts";
import { failureReply, jsonReply } from "./reply.ts";
import { bucketTarget, queryOf } from "./target.ts";

const BODY_LIMIT_BYTES = 16 * 1024;
const ONE = "/v1/buckets/:bucket";
const PREFIX = "/v1/buckets/";

/** The routes of buckets. */
export function bucketRoutes(buckets: BucketDirectory): readonly Route[] {
  const shared = { work: "list", bodyLimitBytes: BODY_LIMIT_BYTES } as const;
  const admin = { kind: "bucket", right: "admin", prefix: PREFIX } as const;
  return [
    {
      method: "GET",
      path: "/v1/buckets",
      summary: "The buckets with settings of their own, and the defaults.",
      access: { kind: "parts", rights: ["list"] },
      ...shared,
      handle: (request) => listBuckets(buckets, request),
    },
    {
      method: "GET",
      path: ONE,
      summary: "The settings of a bucket.",
      access: { kind: "bucket", right: "read", prefix: PREFIX },
      ...shared,
      handle: (request) => withBucket(request, (bucket) => shownBucket(buckets, bucket)),
    },
    {
      method: "PUT",
      path: ONE,
      summary: "Sets all settings of a bucket; those left out get their defaults.",
      access: admin,
      ...shared,
      handle: (request) =>
        withBucket(request, (bucket) => change(buckets, { bucket, isPatch: false, body: request.body })),
    },
    {
      method: "PATCH",
      path: ONE,
      summary: "Changes some settings of a bucket.",
      access: admin,
      ...shared,
      handle: (request) =>
        withBucket(request, (bucket) => change(buckets, { bucket, isPatch: true, body: request.body })),
    },
    {
      method: "DELETE",
      path: ONE,
      summary: "Takes a bucket's own settings away; its keys stay.",
      access: admin,
      ...shared,
      handle: (request) =>
        withBucket(request, (bucket) => buckets.delete(bucket).then((done) => changeReply(buckets, bucket, done))),
    },
  ];
}

function listBuckets(buckets: BucketDirectory, request: Incoming): Reply {
  const query = parseQuery(queryOf(request.raw.url), []);
  if (query.kind === "failed") return failureReply(query);
  const caller = callerOf(request);
  const shown = buckets.list().filter(({ name }) => caller.mayOn("list", name));
  const list = shown.map((one) => document(one.name, one.settings, true));
  return jsonReply(200, JSON.stringify({ buckets: list, defaults: wholeSettings(buckets.defaults()) }));
}

function shownBucket(buckets: BucketDirectory, bucket: BucketName): Reply {
  return jsonReply(200, JSON.stringify(document(bucket, buckets.effective(bucket), buckets.isExplicit(bucket))));
}

interface Change {
  readonly bucket: BucketName;
  readonly isPatch: boolean;
  readonly body: unknown;
}

/** PUT starts from the defaults, PATCH from what holds; both are checked as a whole. */
function change(buckets: BucketDirectory, asked: Change): Reply | Promise<Reply> {
  const { bucket, isPatch } = asked;
  const parsed = settingsIn(asked.body);
  if (parsed.kind === "failed") return failureReply(parsed);
  const settings = { ...(isPatch ? buckets.effective(bucket) : buckets.defaults()), ...parsed.change };
  const conflict = settingsConflict(settings);
  if (conflict !== undefined) return failureReply(conflict);
  const done = isPatch ? buckets.patch(bucket, parsed.change) : buckets.put(bucket, settings);
  return done.then((result) => changeReply(buckets, bucket, result));
}

function changeReply(buckets: BucketDirectory, bucket: BucketName, result: BucketChange): Reply {
  switch (result.kind) {
    case "changed": {
      const shown = document(bucket, result.settings, buckets.isExplicit(bucket));
      const { memberCount } = result;
      return jsonReply(200, JSON.stringify(memberCount === undefined ? shown : { ...shown, knownBy: memberCount }));
    }
    case "invalid":
      return failureReply(refusal("invalid_request", result.detail));
    case "failed":
      return failureReply({ ...refusalForNow("not_ready", result.detail), outcome: "unknown" });
  }
}

function withBucket(request: Incoming, run: (bucket: BucketName) => Reply | Promise<Reply>): Reply | Promise<Reply> {
  const target = bucketTarget(request.raw.url, PREFIX);
  if (target.kind === "failed") return failureReply(target);
  const query = parseQuery(target.query, []);
  return query.kind === "failed" ? failureReply(query) : run(target.bucket);
}

function document(bucket: BucketName, settings: BucketSettings, isExplicit: boolean): Record<string, unknown> {
  return { bucket, ...wholeSettings(settings), explicit: isExplicit };
}

/** 0 stands for "for ever": a client need not know that the setting may be absent. */
function wholeSettings(settings: BucketSettings): Required<BucketSettings> {
  return { ...settings, ttlSeconds: settings.ttlSeconds ?? 0 };
}
