# The image is the binary alone. BuildKit builds it, which docker build uses by
# itself since version 23.
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
COPY . .
ARG TARGETOS TARGETARCH
ARG VERSION=docker COMMIT DATE
# go build downloads what the binary needs; go mod download would also fetch
# what only the tests need.
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -buildvcs=false \
      -ldflags="-s -w -X main.version=$VERSION -X main.commit=$COMMIT -X main.date=$DATE" \
      -o /out/usr/local/bin/ssmlocal ./cmd/ssmlocal \
 && mkdir /out/data /out/seeds

FROM scratch
ARG VERSION=docker COMMIT DATE
LABEL org.opencontainers.image.title="ssmlocal" \
      org.opencontainers.image.description="A local emulator of Tencent Cloud Secrets Manager (SSM)" \
      org.opencontainers.image.version=$VERSION \
      org.opencontainers.image.revision=$COMMIT \
      org.opencontainers.image.created=$DATE
COPY --from=build /out/usr /usr
COPY --from=build /out/seeds /seeds
# The volume's directory belongs to the user who writes in it.
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
ENV SSMLOCAL_LISTEN=0.0.0.0:9023 SSMLOCAL_DATA=/data SSMLOCAL_SEED_DIR=/seeds TMPDIR=/data
VOLUME /data
EXPOSE 9023
HEALTHCHECK --interval=2s --timeout=3s CMD ["/usr/local/bin/ssmlocal", "health"]
ENTRYPOINT ["/usr/local/bin/ssmlocal"]
CMD ["serve"]
