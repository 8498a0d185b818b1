import { expect, test } from "vitest";
import { createLogOutput } from "../../../services/adapters/log-output.ts";

function failing(code: string): () => never {
  return () => {
    throw Object.assign(new Error(code), { code });
  };
}

test("a line is written whole, however little the reader takes at a time", () => {
  const taken: string[] = [];
  const output = createLogOutput(1, (_fd, bytes) => {
    const some = bytes.subarray(0, 3);
    taken.push(Buffer.from(some).toString("utf8"));
    return some.length;
  });
  output.write("a line of text\n");
  expect(taken.join("")).toBe("a line of text\n");
  expect(output.lostCount).toBe(0);
});

test("a reader that is gone costs the line, and the write ends", () => {
  const output = createLogOutput(1, failing("EPIPE"));
  output.write("nobody reads this\n");
  expect(output.lostCount).toBe(1);
});

test("a reader that takes nothing is waited for a moment, then the line is lost", () => {
  let tries = 0;
  const output = createLogOutput(1, () => {
    tries += 1;
    return failing("EAGAIN")();
  });
  output.write("too slow\n");
  expect(output.lostCount).toBe(1);
  expect(tries).toBeGreaterThan(1);
  expect(tries).toBeLessThan(100);
});
