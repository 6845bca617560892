# docker build -t smart-finetune . && docker run --rm -it -v smart-home:/home/smart/data smart-finetune
# Linted with hadolint; never built, for want of Docker.
FROM python:3.13-slim

RUN useradd --create-home --uid 1000 smart
WORKDIR /src
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY smartcli ./smartcli
COPY completions ./completions
RUN pip install --no-cache-dir --constraint constraints.txt '.[demo,hub]'

USER 1000
WORKDIR /home/smart
RUN mkdir -m 700 data
ENV SMART_HOME=/home/smart/data
VOLUME /home/smart/data
ENTRYPOINT ["smart"]
