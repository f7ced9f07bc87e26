# ffmpeg (imageio-ffmpeg) and a JavaScript runtime for yt-dlp (deno) come with the pinned packages.
FROM python:3.11.7-slim-bookworm

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
