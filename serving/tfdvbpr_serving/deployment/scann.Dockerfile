# tfdvbpr-serve with ScaNN's ops: docker build --file serving/tfdvbpr_serving/deployment/scann.Dockerfile --tag tfdvbpr-serve:scann .
FROM python:3.11-slim
WORKDIR /project
COPY . .
RUN pip install --no-cache-dir --requirement requirements.lock \
    && pip install --no-cache-dir --no-deps --no-build-isolation . \
    && useradd --create-home server
USER server
WORKDIR /
EXPOSE 8500 8501
STOPSIGNAL SIGTERM
ENTRYPOINT ["tfdvbpr-serve"]
