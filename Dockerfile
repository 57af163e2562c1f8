# The program is static: it is compiled where the builder runs, for the platform
# that is asked for, and the image has nothing else in it.
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETOS TARGETARCH VERSION=unknown
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /slotwise ./cmd/slotwise

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /slotwise /slotwise
USER 65532:65532
ENTRYPOINT ["/slotwise"]
