# gyre's image: Node.js and production dependencies on Debian slim, no package manager, uid 1000, a read-only root, data in
# /var/lib/gyre. There is no build step but a warm-up of Node's compile cache, so that a start on a read-only root is fast.
# It listens on every address and therefore needs a cluster secret and API tokens (or GYRE_INSECURE=true): it says so.
ARG NODE_IMAGE=node:26-trixie-slim
ARG BASE_IMAGE=debian:trixie-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /app
COPY package.json package-lock.json ./
# The optional packages are Node.js itself, for machines that have none: here the base image brings it.
RUN npm ci --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund --loglevel=error
COPY services ./services
COPY gossip ./gossip
COPY storage ./storage
# What `gyre manifests` prints.
COPY k8s ./k8s
COPY LICENSE ./
# The cache is kept by user: it has to be made by the one that runs later.
RUN mkdir /app/.compile-cache /tmp/warm-up && chown 1000:1000 /app/.compile-cache /tmp/warm-up
USER 1000:1000
ENV NODE_COMPILE_CACHE=/app/.compile-cache NODE_OPTIONS=--max-old-space-size-percentage=60
RUN node services/main.ts --help >/dev/null \
 && { timeout --signal=TERM --kill-after=20 6 node services/main.ts server --node-id warm-up --data-dir /tmp/warm-up --disk-reserve off >/dev/null; [ $? -eq 124 ]; } \
 && [ -n "$(ls -A /app/.compile-cache)" ]

FROM ${BASE_IMAGE}
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends tini libatomic1 libstdc++6 >/dev/null \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/log/apt /var/log/dpkg.log /usr/share/doc /usr/share/man \
 && groupadd --gid 1000 gyre \
 && useradd --uid 1000 --gid 1000 --no-create-home --home-dir /var/lib/gyre --shell /usr/sbin/nologin gyre \
 && install -d -o 1000 -g 1000 -m 0750 /var/lib/gyre \
 && ln -s /app/services/cli/bin.mjs /usr/local/bin/gyre
COPY --from=build /usr/local/bin/node /usr/local/bin/node
COPY --from=build /app /app

ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="gyre" \
      org.opencontainers.image.description="A leaderless, Dynamo-style key-value datastore" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"

# The heap is a share of the container's memory limit; what is outside of it holds the index and the buffers.
ENV NODE_ENV=production \
    NODE_OPTIONS=--max-old-space-size-percentage=60 \
    NODE_COMPILE_CACHE=/app/.compile-cache \
    GYRE_DATA_DIR=/var/lib/gyre \
    GYRE_HTTP=0.0.0.0:4400 \
    GYRE_PEER=0.0.0.0:4500
USER 1000:1000
WORKDIR /var/lib/gyre
VOLUME /var/lib/gyre
EXPOSE 4400/tcp 4500/tcp 4500/udp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=4s --start-period=60s --retries=3 CMD ["node", "/app/services/cli/health-check.mjs"]
ENTRYPOINT ["tini", "--", "node", "/app/services/main.ts"]
CMD ["server"]
