# The image of all services and commands: `docker run IMAGE sb --help`. It runs as nobody in particular (10001), writes
# nothing outside of /tmp, and needs nothing at run time but settings (SB_*).
#
# Another package index: docker compose build --build-arg PIP_INDEX_URL=… (PIP_EXTRA_INDEX_URL, PIP_TRUSTED_HOST alike).
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
ARG PIP_INDEX_URL=
ARG PIP_EXTRA_INDEX_URL=
ARG PIP_TRUSTED_HOST=
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
RUN python -m venv /opt/sb
# dependencies first: they change seldom, and are then not installed anew
COPY pyproject.toml ./
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
      >requirements.txt \
 && /opt/sb/bin/pip install -r requirements.txt
COPY README.md ./
COPY sb_core ./sb_core
COPY sb_ingest ./sb_ingest
COPY sb_process ./sb_process
COPY sb_distribute ./sb_distribute
COPY sb_generator ./sb_generator
COPY sb_console ./sb_console
COPY sb_local ./sb_local
RUN /opt/sb/bin/pip install --no-deps . && /opt/sb/bin/pip uninstall -y pip

FROM ${PYTHON_IMAGE}
COPY --from=build /opt/sb /opt/sb
COPY deploy/healthy /opt/sb/bin/healthy
ENV PATH=/opt/sb/bin:/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 SB_DATA=/tmp/sb
WORKDIR /opt/sb
USER 10001:10001
STOPSIGNAL SIGTERM
CMD ["sb", "--help"]
