/** How a server listens: what the framework is told. */
import { describe, expect, it } from "vitest";
import { listeningAt } from "../../../services/api/http-limits.ts";
import { LISTEN_BACKLOG } from "../../../services/base/load-limits.ts";

describe("a server listens", () => {
  it.each([
    ["n1:8080", "n1", 8080],
    ["0.0.0.0:0", "0.0.0.0", 0],
    ["[::1]:80", "::1", 80],
    ["localhost:80", "127.0.0.1", 80],
  ])("at %s with the kernel's queue as long as decided", (address, host, port) => {
    expect(listeningAt(address)).toEqual({ host, port, backlog: LISTEN_BACKLOG });
  });
});
