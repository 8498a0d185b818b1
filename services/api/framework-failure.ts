/** What the web framework calls an error, as a failure of gyre's. Pure. Must never call a defect of gyre's the client's fault. */
import type { Failure } from "../coordinator/contract.ts";
import type { Incoming } from "./exchange.ts";
import { refusal } from "./problem.ts";
import type { FailureContext } from "./reply.ts";

/** What of a request tells why the framework refused it. */
interface Refused {
  readonly headers: Incoming["headers"];
  /** of its route */
  readonly routeOptions?: { readonly bodyLimit?: number | undefined };
}

/** The failure behind an error of the framework; undefined when it is none of the client's. */
export function frameworkFailure(
  error: { readonly code: string; readonly statusCode?: number },
  request: Refused,
): { readonly failure: Failure; readonly how: FailureContext } | undefined {
  switch (error.code) {
    case "FST_ERR_CTP_BODY_TOO_LARGE":
      return { failure: tooLarge(request), how: {} };
    case "FST_ERR_CTP_INVALID_MEDIA_TYPE":
      return { failure: refusal("unsupported_media_type", "the content type is not type/subtype"), how: {} };
    case "FST_ERR_BAD_URL":
      return {
        failure: refusal(
          "invalid_request",
          "the path has a broken percent escape, or is not UTF-8; a % is written %25",
        ),
        how: {},
      };
    case "FST_ERR_MAX_PARAM_LENGTH":
      return { failure: refusal("invalid_request", "the path is too long"), how: { status: 414 } };
    default: {
      const status = error.statusCode ?? 500;
      if (status < 400 || status >= 500) return undefined;
      return { failure: refusal("invalid_request", "the request could not be read to its end"), how: { status } };
    }
  }
}

/** The size is that which was announced: of a body in chunks only that it is over the limit is known. */
function tooLarge({ headers, routeOptions }: Refused): Failure {
  const limit = routeOptions?.bodyLimit;
  const length = headers["content-length"];
  const size = length === undefined ? "" : `, of ${String(length)} bytes,`;
  const most = limit === undefined ? "" : ` of ${limit} bytes`;
  return refusal("value_too_large", `the body${size} is over the limit${most} of this path`, {
    ...(limit === undefined ? {} : { limitBytes: limit }),
    ...(length === undefined ? {} : { sizeBytes: Number(length) }),
  });
}
