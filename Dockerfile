# docker build --build-arg REVISION="$(git rev-parse --short HEAD)" -t kraken-custody-exporter .

FROM python:3.11-slim-bookworm AS build
WORKDIR /app
COPY deploy/requirements.txt .
RUN python -m venv /app/venv \
 && /app/venv/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements.txt
COPY exporter /app/exporter
ARG REVISION=unknown
RUN echo "$REVISION" > /app/exporter/REVISION \
 && /app/venv/bin/python -m compileall -q /app/exporter

FROM python:3.11-slim-bookworm
COPY --from=build /app /app
WORKDIR /app
# Not a name but a number, so that Kubernetes can tell that it is not root.
USER 10063:10063
EXPOSE 10063
HEALTHCHECK --interval=30s --timeout=5s --start-period=5s \
  CMD ["/app/venv/bin/python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:10063/-/healthy', timeout=4)"]
ENTRYPOINT ["/app/venv/bin/python", "-m", "exporter"]
# Within a container loopback reaches nobody: publish the port to those only who may see balances.
CMD ["--config.file=/etc/kraken-custody-exporter/config.yaml", "--web.listen-address=:10063"]
