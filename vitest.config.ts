/** Test runner settings: which folders hold tests. Simulations and real-process tests get their own time limits in their files. */
import type { ViteUserConfig } from "vitest/config";

const config: ViteUserConfig = {
  test: { include: ["test/**/*.test.ts"], testTimeout: 20_000, hookTimeout: 20_000 },
};

// The one default export of the house: the runner reads it.
export default config;
