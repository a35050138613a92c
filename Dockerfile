# docker build --build-arg REVISION="$(git describe --always --dirty --exclude='*')" -t kraken-custody-exporter .
#
# Behind a proxy that intercepts TLS: --build-arg CA_CERTIFICATES="$(cat company.pem)"
# With a wheel that is already built: --build-context wheel=DIRECTORY (docker buildx; the directory has no other wheel)
#
# A tag can be moved to another image, a digest cannot. To pin the image, look up its current digest with
#   docker buildx imagetools inspect python:3.11.16-slim-bookworm
# and build with --build-arg PYTHON_IMAGE=python:3.11.16-slim-bookworm@sha256:...
ARG PYTHON_IMAGE=python:3.11.16-slim-bookworm

FROM ${PYTHON_IMAGE} AS libraries
ARG CA_CERTIFICATES=
ENV PIP_NO_CACHE_DIR=1 PIP_CERT=/build/certificates.pem
RUN mkdir -p /build && { cat /etc/ssl/certs/ca-certificates.crt; echo "$CA_CERTIFICATES"; } > "$PIP_CERT"
COPY deploy/requirements.txt /build/
# Without pip: the environment has only what is needed to run.
RUN python -m venv --without-pip /app \
 && python -m pip --python /app/bin/python install --no-deps --require-hashes --only-binary :all: --requirement /build/requirements.txt

FROM libraries AS source
COPY deploy/requirements-build.txt /build/
RUN python -m venv --without-pip /build/hatchling \
 && python -m pip --python /build/hatchling/bin/python install --no-deps --require-hashes --only-binary :all: --requirement /build/requirements-build.txt
COPY . /build/source
WORKDIR /build/source
ARG REVISION=
# The build context of a checkout has no .git, so the revision is an argument; an archive has it in the file.
RUN if [ -n "$REVISION" ]; then echo "$REVISION" > exporter/REVISION; fi \
 && if grep -q Format exporter/REVISION; then \
      echo "Of which revision is this? Build with --build-arg REVISION=\"\$(git describe --always --dirty --exclude='*')\"" >&2; \
      exit 1; \
    fi \
 && /build/hatchling/bin/python -m hatchling build --target wheel --directory /build/wheel

FROM scratch AS wheel
COPY --from=source /build/wheel/*.whl /

FROM libraries AS application
COPY --from=wheel *.whl /build/wheel/
# pip compiles the modules here, because the root file system is read-only at run time.
RUN python -m pip --python /app/bin/python install --no-deps --no-index /build/wheel/*.whl

FROM ${PYTHON_IMAGE}
COPY --from=application /app /app
ARG VERSION=0.2.0
ARG REVISION=
ARG SOURCE=
LABEL org.opencontainers.image.title="kraken-custody-exporter" \
      org.opencontainers.image.description="Prometheus exporter for the vault balances of Kraken's Insto Custody" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
ENV PATH=/app/bin:$PATH
# Directory of config.yaml.
WORKDIR /etc/kraken-custody-exporter
# A number, not a name, so that Kubernetes can check that it is not root.
USER 10063:10063
EXPOSE 10063
# With TLS, or on another port: --env HEALTHCHECK_URL=https://127.0.0.1:10063/-/healthy
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s \
  CMD ["/app/bin/python", "-I", "-m", "exporter.healthcheck"]
# The default of --web.listen-address; the flag overrides it. Loopback inside a container cannot be reached from outside:
# publish the port only to those who may see balances.
ENV DEFAULT_LISTEN_ADDRESS=:10063
ENTRYPOINT ["/app/bin/python", "-I", "-m", "exporter"]
