# The build stage needs Go; the image is the binary alone.
FROM golang:1.26 AS build
WORKDIR /src
COPY . .
ARG VERSION=docker
# This downloads what the binary needs; go mod download would also fetch what only the tests need.
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w -X main.version=${VERSION}" -o /out/ssmlocal ./cmd/ssmlocal \
 && mkdir /out/data

FROM scratch
COPY --from=build /out/ssmlocal /ssmlocal
# The volume's directory belongs to the user who writes in it.
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
ENV SSMLOCAL_LISTEN=0.0.0.0:9023 SSMLOCAL_DATA=/data TMPDIR=/data
VOLUME /data
EXPOSE 9023
HEALTHCHECK --interval=2s --timeout=3s CMD ["/ssmlocal", "health"]
ENTRYPOINT ["/ssmlocal"]
CMD ["serve"]
