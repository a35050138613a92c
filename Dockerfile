# docker build --build-arg REVISION="$(git rev-parse --short HEAD)" -t kraken-custody-exporter .
#
# A tag can be moved to another image, a digest cannot: to pin it, ask for the digest of the day with
#   docker buildx imagetools inspect python:3.11.16-slim-bookworm
# and build with --build-arg PYTHON_IMAGE=python:3.11.16-slim-bookworm@sha256:...
ARG PYTHON_IMAGE=python:3.11.16-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
COPY deploy/requirements.txt /build/requirements.txt
# Without pip: the environment holds what is needed to run, and nothing to install more with.
RUN python -m venv --without-pip /app \
 && python -m pip --python /app/bin/python install --no-cache-dir --no-deps --require-hashes --only-binary :all: \
      --requirement /build/requirements.txt
COPY exporter /build/exporter
ARG REVISION=unknown
# Among the libraries, so that it is found from whatever directory; compiled, as the running root is read-only.
RUN echo "$REVISION" > /build/exporter/REVISION \
 && packages="$(/app/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
 && cp -r /build/exporter "$packages/" \
 && python -m compileall -q "$packages/exporter"

FROM ${PYTHON_IMAGE}
COPY --from=build /app /app
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG SOURCE=
LABEL org.opencontainers.image.title="kraken-custody-exporter" \
      org.opencontainers.image.description="Prometheus exporter for the vault balances of Kraken's Insto Custody" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
# Where config.yaml is looked for.
WORKDIR /etc/kraken-custody-exporter
# Not a name but a number, so that Kubernetes can tell that it is not root.
USER 10063:10063
EXPOSE 10063
# With TLS, or on another port: --env HEALTHCHECK_URL=https://127.0.0.1:10063/-/healthy
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s \
  CMD ["/app/bin/python", "-I", "-m", "exporter.healthcheck"]
# The default of --web.listen-address, which may be given once only. Within a container loopback reaches nobody: publish the
# port to those only who may see balances.
ENV DEFAULT_LISTEN_ADDRESS=:10063
ENTRYPOINT ["/app/bin/python", "-I", "-m", "exporter"]
