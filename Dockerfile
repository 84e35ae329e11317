# The emulator itself, for `docker compose up` (compose.yaml). What runs inside a session: proxy_image/Dockerfile.
ARG BASE=debian:trixie-slim

FROM ${BASE} AS build
ARG DEBIAN_FRONTEND=noninteractive
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates python3 python3-venv \
 && rm -rf /var/lib/apt/lists/*
# Package index of the machine, where it has one; certificates for it come as the secret ca-bundle.
ARG PIP_INDEX_URL=
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY pyproject.toml ./
# The dependencies first: they change less often than the code.
RUN --mount=type=secret,id=ca-bundle \
    if [ -s /run/secrets/ca-bundle ]; then export PIP_CERT=/run/secrets/ca-bundle; fi; \
    [ -n "$PIP_INDEX_URL" ] || unset PIP_INDEX_URL; \
    python3 -m venv /opt/dynamic-sessions \
 && python3 -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb")); print(*p["build-system"]["requires"], *p["project"]["dependencies"], sep="\n")' >/tmp/requirements \
 && /opt/dynamic-sessions/bin/pip install -r /tmp/requirements
COPY README.md LICENSE* ./
COPY emulator/ emulator/
COPY proxy_image/interpreter_proxy/ proxy_image/interpreter_proxy/
RUN /opt/dynamic-sessions/bin/pip install --no-deps --no-build-isolation .

FROM ${BASE}
ARG DEBIAN_FRONTEND=noninteractive
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates curl python3 \
 && rm -rf /var/lib/apt/lists/* \
 && mkdir /var/lib/dynamic-sessions
COPY --from=build /opt/dynamic-sessions /opt/dynamic-sessions
# In a container 0.0.0.0 means the address of its first network, not those of sessions.
ENV PATH=/opt/dynamic-sessions/bin:$PATH \
    LANG=C.UTF-8 \
    PYTHONUNBUFFERED=1 \
    DYNAMIC_SESSIONS_HOST=0.0.0.0 \
    DYNAMIC_SESSIONS_STATE_DIR=/var/lib/dynamic-sessions \
    DYNAMIC_SESSIONS_RUNTIME=docker
VOLUME /var/lib/dynamic-sessions
EXPOSE 7480 7443
HEALTHCHECK --interval=3s --timeout=3s --start-period=60s --retries=5 \
  CMD ["curl", "-fsS", "-o", "/dev/null", "http://127.0.0.1:7480/.emulator/ready"]
ENTRYPOINT ["dynamic-sessions"]
CMD ["up"]
