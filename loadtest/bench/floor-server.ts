/**
 * The floor: a bare Fastify route that accepts or answers the same body and stores nothing. What any HTTP server built on it
 * costs at least; the ratio to it is the benchmark's result, since throughput on shared machines is noise.
 */
import fastify from "fastify";

const port = Number(process.argv[2]);
const valueBytes = Number(process.argv[3]);

const app = fastify({ logger: false });
app.removeAllContentTypeParsers();
app.addContentTypeParser("*", { parseAs: "buffer" }, (_request, body, done) => done(null, body));

const value = JSON.stringify({ data: "x".repeat(valueBytes - '{"data":""}'.length) });
const stored = `{"bucket":"bench","key":"k00000001","value":${value},"contentType":"application/json","modified":"2026-01-01T00:00:00.000Z","context":"${"c".repeat(48)}"}`;
const written = `{"bucket":"bench","key":"k00000001","context":"${"c".repeat(48)}","dot":"000000000000-0000000000000000","outcome":"applied","acks":{"required":2,"received":2,"owners":2,"fallbacks":0,"durable":2},"siblings":1}`;

app.get("/v1/kv/bench/:key", (_request, reply) => {
  void reply.header("content-type", "application/json").header("gyre-context", "c".repeat(48)).send(stored);
});
app.put("/v1/kv/bench/:key", (_request, reply) => {
  void reply.header("content-type", "application/json").header("gyre-context", "c".repeat(48)).send(written);
});
app.get("/readyz", (_request, reply) => {
  void reply.send("ok");
});

process.once("SIGTERM", () => void app.close());
await app.listen({ host: "127.0.0.1", port });
