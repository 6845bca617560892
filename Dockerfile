# docker build -t smartcli . && docker run --rm -it -v smart-home:/home/smart/data smartcli
FROM python:3.13-slim

RUN useradd --create-home smart
WORKDIR /src
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY smartcli ./smartcli
RUN pip install --no-cache-dir --constraint constraints.txt '.[demo,hub]'

USER smart
WORKDIR /home/smart
RUN mkdir -m 700 data
ENV SMART_HOME=/home/smart/data
VOLUME /home/smart/data
ENTRYPOINT ["smart"]
