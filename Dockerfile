# The service, built from this checkout, without the download of a Postgres: a container uses a database of its own.
FROM rust:1.95.0-bookworm AS builder
WORKDIR /src
COPY . .
RUN cargo build --release --locked --no-default-features --bin brune

FROM debian:bookworm-slim
# Root certificates, for TLS connections to a database and a provider.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin brune
COPY --from=builder /src/target/release/brune /usr/local/bin/brune
USER brune
WORKDIR /
ENV NODE_ENV=production BRUNE_LISTEN=0.0.0.0:8080
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["brune", "health"]
ENTRYPOINT ["brune"]
CMD ["serve"]
