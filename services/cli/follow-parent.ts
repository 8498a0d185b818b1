/**
 * Loaded into each node of the local cluster before its own code: when the process that runs the cluster is gone, however it
 * ended, the node stops as on SIGTERM. Must never keep the node alive by itself.
 */
process.once("disconnect", () => {
  process.kill(process.pid, "SIGTERM");
});
process.channel?.unref();
