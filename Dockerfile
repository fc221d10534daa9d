# Runs on the builder's own platform and compiles for the one that is asked for, so nothing is emulated.
FROM --platform=$BUILDPLATFORM denoland/deno:2.9.6 AS build
ARG TARGETARCH
WORKDIR /src
COPY deno.json deno.lock main.ts ./
COPY lib lib
COPY .ci/compile.ts .ci/
COPY .github/DEPLOYMENT.md .github/SECURITY.md .github/
RUN case "$TARGETARCH" in \
      amd64) platform=linux-x64 ;; \
      arm64) platform=linux-arm64 ;; \
      *) echo "there is no executable for $TARGETARCH" >&2; exit 1 ;; \
    esac \
    && deno run -A .ci/compile.ts /out "$platform" \
    && mv "/out/signal-$platform" /out/signal

# The C library that the executable is linked with, and no shell.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /out/signal /usr/local/bin/signal
COPY LICENSE /usr/share/doc/signal/copyright
USER 65532:65532
EXPOSE 3903/tcp 3903/udp
# It reads the same variables as the server, and so finds it on whatever port; flags it would not see.
HEALTHCHECK --interval=30s --timeout=6s --start-period=5s --retries=3 CMD ["/usr/local/bin/signal", "--healthcheck"]
ENTRYPOINT ["/usr/local/bin/signal"]
