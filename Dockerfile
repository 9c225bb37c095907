# The image of every process: terrace manager | ca | ra | validation | pusher.
# cgo is needed (PKCS#11, SQLite), and a maker's PKCS#11 module needs glibc, so
# the last stage is Debian and not "static".
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=1 go build -buildvcs=false -trimpath -ldflags "-s -w" -o /out/terrace ./cmd/terrace

FROM debian:bookworm-slim
COPY --from=build /out/terrace /usr/local/bin/terrace
# A number, so that the kubelet can tell that it is not root. Each process has
# its own by runAsUser (docs/zones.md).
USER 65000:65000
ENTRYPOINT ["/usr/local/bin/terrace"]
