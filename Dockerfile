# ffmpeg (imageio-ffmpeg) and a JavaScript runtime for yt-dlp (deno) come with the pinned packages.
# By version and not by digest, since no image registry can be asked where this is written. Public repositories pin this
# name as python@sha256:53d6284a40eae6b625f22870f5faba6c54f2a28db9027408f4dee111f1e885a2; ask your registry
# (docker buildx imagetools inspect python:3.11.7-slim-bookworm), then build with --build-arg BASE=python@sha256:...
ARG BASE=python:3.11.7-slim-bookworm
FROM ${BASE}

RUN useradd --create-home --uid 10001 curator
WORKDIR /app
COPY requirements.lock requirements-cluster.lock requirements-uv.lock ./
# Compiled here, as nobody may write there later.
RUN pip install --no-cache-dir --no-deps --require-hashes --requirement requirements-uv.lock \
 && uv pip sync --system --no-cache --compile-bytecode --require-hashes \
    requirements-uv.lock requirements.lock requirements-cluster.lock
COPY --chown=curator:curator . .
RUN mkdir data weights && chown curator:curator data weights

USER 10001
# Ours wins over any package called `datasets`, from whatever folder a flow is started.
ENV PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PREFECT_HOME=/home/curator/.prefect
ARG CODE_VERSION=unknown
ENV CODE_VERSION=${CODE_VERSION}
# Of whatever command runs: it can keep what it makes. A deployment asks more of its own (compose.yaml).
HEALTHCHECK --interval=1m --timeout=5s CMD ["sh", "-c", "test -d /app/data && test -w /app/data"]
VOLUME ["/app/data", "/app/weights"]
ENTRYPOINT ["python", "-m", "flows"]
CMD ["--help"]
