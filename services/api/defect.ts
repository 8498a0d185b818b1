/** What a defect of gyre's is answered with. Pure. Must never tell more than the request id: the log has the rest. */
import type { Failure } from "../coordinator/contract.ts";

/** The failure; `isHarmless`: a request that changes nothing. */
export function defectFailure(isHarmless: boolean): Failure {
  return {
    kind: "failed",
    code: "internal_error",
    outcome: isHarmless ? "not_applied" : "unknown",
    retryable: true,
    detail: "a defect in gyre; the node's log has more under this request id",
  };
}
