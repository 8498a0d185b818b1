/** The whole API as a list: one entry per method and path. The 405 answers are made from it. */
import { batchRoutes } from "./batch-routes.ts";
import { bucketRoutes } from "./bucket-routes.ts";
import { clusterRoutes } from "./cluster-routes.ts";
import type { Route } from "./exchange.ts";
import { frontRoutes } from "./front-page.ts";
import { healthRoutes } from "./health-routes.ts";
import { kvRoutes } from "./kv-routes.ts";
import { listRoutes } from "./list-routes.ts";
import type { ApiDependencies } from "./ports.ts";

/** Every route; `isClosing` says whether the node is stopping. GET implies HEAD. */
export function allRoutes(deps: ApiDependencies, isClosing: () => boolean): readonly Route[] {
  const { buckets, status, metrics } = deps;
  const routes: readonly Route[] = [
    ...kvRoutes(deps),
    ...listRoutes(deps),
    ...batchRoutes(deps),
    ...bucketRoutes(buckets),
    ...clusterRoutes(status),
    ...healthRoutes({ status, metrics, isClosing }),
    ...frontRoutes(status),
  ];
  const heads = routes.filter((route) => route.method === "GET" && !routes.some((other) => isHeadOf(other, route)));
  return [...routes, ...heads.map((route): Route => ({ ...route, method: "HEAD" }))];
}

function isHeadOf(other: Route, route: Route): boolean {
  return other.method === "HEAD" && other.path === route.path;
}
