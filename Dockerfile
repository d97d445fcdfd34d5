# The worker's image: two stages on one base, so that the virtual environment made in the first runs in the second.
# To pin the base by digest: --build-arg BASE=python:3.13-slim-trixie@sha256:... (deploy/README.md says how to get it).
ARG BASE=python:3.13-slim-trixie

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /build

# What the worker depends on: a layer of its own that changes only with the lock.
COPY requirements.lock ./
RUN python -m venv --without-pip /opt/provisioner \
    && python -m pip --python /opt/provisioner/bin/python install \
        --require-hashes --no-deps --only-binary=:all: --no-compile --requirement requirements.lock

# What turns the source into a wheel: locked as well, and never in the final image.
COPY deploy/build-requirements.lock deploy/
RUN python -m venv --without-pip /opt/build \
    && python -m pip --python /opt/build/bin/python install \
        --require-hashes --no-deps --only-binary=:all: --requirement deploy/build-requirements.lock

# The worker itself. Bytecode that is never checked against its source needs no time stamps and no writable root.
COPY pyproject.toml README.md ./
COPY contracts contracts/
COPY worker worker/
RUN python -m pip --python /opt/build/bin/python wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && python -m pip --python /opt/provisioner/bin/python install \
        --no-deps --no-index --no-compile /wheels/*.whl \
    && /opt/provisioner/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/provisioner/lib

FROM ${BASE} AS final
# The published base has no bytecode of the standard library, and a read-only root could never keep any: without this
# step every start and every health check would compile it anew. The base's installer has no work here either.
RUN python -m pip uninstall --yes --quiet --root-user-action=ignore pip \
    && python -m compileall -q --invalidation-mode unchecked-hash -x '/(test|tests|idlelib|lib2to3|site-packages)/' \
        "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" \
    && groupadd --gid 10001 provisioner \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/provisioner \
        --shell /usr/sbin/nologin provisioner \
    && install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/provisioner
COPY --from=build /opt/provisioner /opt/provisioner

ENV PATH=/opt/provisioner/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PROVISIONER_LOG__FORMAT=json \
    PROVISIONER_MONITORING__HOST=0.0.0.0

ARG VERSION=0.1.0
ARG REVISION=unknown
ENV PROVISIONER_REVISION=${REVISION}
LABEL org.opencontainers.image.title="provisioner" \
      org.opencontainers.image.description="Opens one account per request at four providers, never two." \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

# Numeric, so that an orchestrator can see that it is not root.
USER 10001:10001
# Where the default ledger, the file provisioner.db, comes to lie. Not set as a variable: that would win over a secret file.
WORKDIR /var/lib/provisioner
VOLUME ["/var/lib/provisioner"]
EXPOSE 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["provisioner", "healthcheck"]
ENTRYPOINT ["provisioner"]
CMD ["run"]
