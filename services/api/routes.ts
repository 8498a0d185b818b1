/** The whole API as a list: one entry per method and path. The 405 answers and the documentation are made from it. */
import { batchRoutes } from "./batch-routes.ts";
import { bucketRoutes } from "./bucket-routes.ts";
import { clusterReads } from "./cluster-reads.ts";
import { clusterRoutes } from "./cluster-routes.ts";
import { docsRoutes } from "./docs-routes.ts";
import type { Route } from "./exchange.ts";
import { frontRoutes } from "./front-page.ts";
import { healthRoutes } from "./health-routes.ts";
import { kvRoutes } from "./kv-routes.ts";
import { listRoutes } from "./list-routes.ts";
import { membershipRoutes } from "./membership-routes.ts";
import type { ApiDependencies } from "./ports.ts";
import { repairRoutes } from "./repair-routes.ts";

/** Every route; `isClosing` says whether the node is stopping. GET implies HEAD. */
export function allRoutes(deps: ApiDependencies, isClosing: () => boolean): readonly Route[] {
  const { buckets, status, door, metrics } = deps;
  const reads = clusterReads(status, door);
  const routes: readonly Route[] = [
    ...kvRoutes(deps),
    ...listRoutes(deps),
    ...batchRoutes(deps),
    ...bucketRoutes(buckets),
    ...clusterRoutes(reads),
    ...membershipRoutes(door),
    ...repairRoutes(deps.repair),
    ...healthRoutes({ status, metrics, isClosing, isMetricsOpen: deps.isMetricsOpen }),
  ];
  const shown: readonly Route[] = [
    ...routes,
    ...frontRoutes({ status, reads, needsToken: deps.tokens !== undefined }),
    ...docsRoutes(() => all),
  ];
  const heads = shown.filter((route) => route.method === "GET" && !shown.some((other) => isHeadOf(other, route)));
  const all = [...shown, ...heads.map((route): Route => ({ ...route, method: "HEAD" }))];
  return all;
}

function isHeadOf(other: Route, route: Route): boolean {
  return other.method === "HEAD" && other.path === route.path;
}
