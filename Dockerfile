# SPDX-License-Identifier: Apache-2.0
# SchedCP with all that a run needs. Runs without KVM, network and privileges, as a user of its own:
#   docker build -t schedcp .
#   docker run --rm schedcp tune batch
#   docker run --rm -v schedcp:/data schedcp tune batch     keeps the lake, the tokens and the reports
# With KVM: --device /dev/kvm --group-add $(stat -c %g /dev/kvm). The base may be any Debian 12 or 13.
ARG BASE=debian:12-slim

FROM ${BASE} AS machine
RUN apt-get update -q \
 && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends python3 python3-venv ca-certificates tini \
 && rm -rf /var/lib/apt/lists/*
COPY control_plane/packages.sh control_plane/say.sh /tmp/
RUN XDG_CACHE_HOME=/tmp/cache bash /tmp/packages.sh && rm -rf /tmp/* /var/cache/apt/*
COPY requirements.in requirements.lock requirements-bootstrap.lock requirements-overrides.txt /opt/schedcp/
# What is needed to run, without the tests' and linters', as the lock has it.
RUN cd /opt/schedcp && python3 -m venv . \
 && bin/python -m pip install -q --no-cache-dir --require-hashes --only-binary :all: -r requirements-bootstrap.lock \
 && bin/uv pip install -q --no-cache --python bin/python --only-binary :all: \
    -r requirements.in -c requirements.lock --override requirements-overrides.txt

FROM machine AS wheel
COPY . /src
RUN cd /src && /opt/schedcp/bin/uv pip install -q --no-cache --python /opt/schedcp/bin/python -c requirements.lock setuptools \
 && /opt/schedcp/bin/python -m pip wheel -q --no-deps --no-build-isolation -w /dist .

FROM machine
COPY --from=wheel /dist /tmp/dist
RUN /opt/schedcp/bin/python -m pip install -q --no-cache-dir --no-deps /tmp/dist/*.whl && rm -rf /tmp/dist \
 && ln -s /opt/schedcp/bin/schedcp /usr/local/bin/ \
 && useradd --create-home schedcp && install -d -o schedcp -g schedcp /data /var/cache/schedcp
ENV SCHEDCP_DATA_DIR=/data SCHEDCP_CACHE_DIR=/var/cache/schedcp
USER schedcp
WORKDIR /data
# A snapshot is as large as a guest's memory, and made in seconds: the first run makes its own.
RUN schedcp setup && rm -rf /var/cache/schedcp/snapshots
VOLUME /data
ENTRYPOINT ["tini", "--", "schedcp"]
CMD ["--help"]
