# One static binary on nothing: no shell, no libc, no root.
#
#   docker build -t meshrt .
#   docker run --network host --read-only meshrt -join first:7946

FROM node:22-alpine AS client
WORKDIR /src
COPY web/e2e/package.json web/e2e/package-lock.json ./
RUN npm ci --no-audit --no-fund

FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
COPY --from=client /src/node_modules/socket.io-client/dist/socket.io.*js web/socketio/client/
ARG COMMIT=
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.commit=${COMMIT}" -o /meshrt .

FROM scratch
# For webhooks and key servers over https.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /meshrt /meshrt
USER 65532:65532
EXPOSE 8080 7946/tcp 7946/udp
ENTRYPOINT ["/meshrt"]
