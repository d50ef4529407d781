# Appliance Courier's image. What builds it stays behind in the first stage; the second one only
# copies, and needs no shell.
#
#   docker build --tag appliance-courier .
#
# BASE may be any Debian with Python 3.11 or newer. The build needs Debian's packages and a Python
# package index.
ARG BASE=python:3.13.5-slim-trixie

FROM ${BASE} AS build

# No bytecode until the end: what the base image lacks would be there here, and not in the image.
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PYTHONDONTWRITEBYTECODE=1
# Debian keeps a part of Python's venv in a package of its own.
RUN apt-get update -qq && apt-get install -qq -y --no-install-recommends binutils \
      $(python3 -c 'import ensurepip' 2>/dev/null || echo python3-venv)
# Two environments: pip stays in its own, and installs into the other one from there. What is below
# /image is what the second stage gets.
RUN python3 -m venv /build && python3 -m venv --without-pip /opt/courier \
    && mkdir --parents /ledger /image/opt && mv /opt/courier /image/opt/ \
    && ln --symbolic /image/opt/courier /opt/courier

WORKDIR /src
# Wheels only: nothing that was downloaded runs before its hash was compared, and no compiler is
# needed. pip reads the environment of --no-compile as the value that it sets: 0 compiles nothing.
COPY deploy/install-locked.sh deploy/requirements.txt deploy/requirements-build.txt deploy/
RUN export PIP_ONLY_BINARY=:all: \
    && sh deploy/install-locked.sh /build/bin/pip deploy/requirements-build.txt \
    && sh deploy/install-locked.sh '/build/bin/pip --python /opt/courier/bin/python' \
      deploy/requirements.txt
# Not needed at run time: symbols for debuggers (11 MiB), headers, stubs, others' tests. Bytecode is
# made at the end, for everything.
RUN find /image -name '*.so*' -type f -exec strip --strip-unneeded {} + \
    && find /image -depth -type d \( -name tests -o -name __pycache__ \) -exec rm --recursive {} + \
    && find /image -type f \( -name '*.py[ix]' -o -name '*.pxd' -o -name '*.proto' \
      -o -name '*.[ch]' \) -delete

COPY LICENSE README.md pyproject.toml ./
COPY contracts contracts
COPY service service
RUN /build/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /build/bin/pip --python /opt/courier/bin/python install --quiet --no-compile \
      --no-index --no-deps /wheels/*.whl
# The bill of materials goes with what it lists.
COPY deploy/supply deploy/supply
RUN /opt/courier/bin/python -m deploy.supply.sbom /image/opt/courier/sbom.cdx.json
COPY deploy/bytecode.py /
RUN /opt/courier/bin/python /bytecode.py /image

FROM ${BASE}

ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Appliance Courier" \
      org.opencontainers.image.description="Runs licence and inventory commands from RabbitMQ on Fortinet appliances" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

COPY --from=build /image /
# Where the ledger is kept. A new volume takes over who owns this directory.
COPY --from=build --chown=10001:10001 /ledger /var/lib/courier

ENV PATH=/opt/courier/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    COURIER_APPLIANCES_FILE=/etc/courier/appliances.toml \
    COURIER_LEDGER_URL=sqlite:////var/lib/courier/courier.db \
    COURIER_HTTP_HOST=0.0.0.0 \
    COURIER_LOG_FORMAT=json

USER 10001:10001
WORKDIR /var/lib/courier
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
  CMD ["/opt/courier/bin/courier", "check", "--ready"]
ENTRYPOINT ["/opt/courier/bin/courier"]
CMD ["serve"]
