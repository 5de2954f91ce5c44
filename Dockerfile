# Preparing, training and exporting in a container.
#
#   docker build --tag tfdvbpr:cpu .
#   docker build --tag tfdvbpr:gpu --build-arg DEVICE=gpu .     CUDA comes from pip; the host needs the NVIDIA Container Toolkit
#   docker run --rm --user "$(id -u):$(id -g)" --volume "$PWD:/data" tfdvbpr:cpu tfdvbpr prepare shop --output shop.dataset
#   docker run --rm --user "$(id -u):$(id -g)" --volume "$PWD:/data" --gpus all tfdvbpr:gpu tfdvbpr train shop.dataset --preset pretrained --output runs/dvbpr
#
# compose.yaml goes the whole way, from a folder to a server.
FROM python:3.11-slim

ARG DEVICE=cpu
WORKDIR /project
COPY pyproject.toml requirements.lock MANIFEST.in README.md LICENSE NOTICE ./
COPY tfdvbpr tfdvbpr
COPY export export
COPY serving serving
# The lock bounds the versions; only what training and exporting need of it is installed.
RUN case "$DEVICE" in \
        cpu) extras=pretrained ;; \
        gpu) extras=pretrained,gpu ;; \
        *) echo "DEVICE must be cpu or gpu. Received $DEVICE." >&2; exit 1 ;; \
    esac \
    && pip install --no-cache-dir --constraint requirements.lock ".[$extras]" \
    && useradd --create-home trainer \
    && mkdir /data && chown trainer /data

USER trainer
# Any user of the host may run it, so that what it writes belongs to that user.
ENV HOME=/tmp MPLCONFIGDIR=/tmp/matplotlib PYTHONUNBUFFERED=1
WORKDIR /data
CMD ["tfdvbpr", "--help"]
