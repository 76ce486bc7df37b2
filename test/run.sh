#!/usr/bin/env bash
# What `npm test` does: installs what the tests need, builds, and runs every tier on the compiled output.
#
#   test/run.sh              all tiers
#   test/run.sh netns docker only these (names below)
#
# unit     everything that needs neither root nor other programs, files in parallel
# interop  real serf, memberlist: one file at a time
# netns    hosts as namespaces: two files at a time, for most of the time they wait
# docker   real Docker engines: one file at a time
#
# A tier that cannot run here is skipped with the reason. OVERLAYD_TEST=required makes that a failure (CI).
# The last line is `N passed, N failed, N skipped`; the exit code is 0 only when nothing failed.
set -uo pipefail
cd "$(dirname "$0")/.."
export PATH="$PATH:/usr/sbin:/sbin" CI="${CI:-}" NO_COLOR=1
exec </dev/null

# Command, or path of what a library package brings → Debian package. All of these are for tests alone.
PACKAGES='ip=iproute2 iptables=iptables ping=iputils-ping ethtool=ethtool iperf3=iperf3 tshark=tshark tcpdump=tcpdump
  serf=serf go=golang-go
  /usr/share/gocode/src/github.com/hashicorp/memberlist=golang-github-hashicorp-memberlist-dev
  busybox=busybox-static dockerd=docker.io socat=socat ps=procps capsh=libcap2-bin setpriv=util-linux
  /lib/systemd/systemd=systemd'

say() { printf -- '-- %s\n' "$*"; }
fail() { say "FAILED: $*"; printf '0 passed, 1 failed, 0 skipped\n'; exit 1; }

is_there() {
  case $1 in
    /*) [ -e "$1" ] ;;
    *) command -v "$1" >/dev/null ;;
  esac
}

install_packages() {
  local missing=() pair policy=/usr/sbin/policy-rc.d made_policy=''
  for pair in $PACKAGES; do
    is_there "${pair%%=*}" || missing+=("${pair##*=}")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    say "not installed, and not root on Debian to install them: ${missing[*]}"
    return 0
  fi
  say "installing ${missing[*]}"
  # dpkg must start no daemon: the tests start the engines they need, in namespaces of their own.
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy" && made_policy=yes
  fi
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$results/apt.log" 2>&1 ||
    { tail -n 20 "$results/apt.log"; say 'apt-get failed; tests that need these packages will say so'; }
  [ -n "$made_policy" ] && rm -f "$policy"
  return 0
}

build() {
  if [ ! -e node_modules/.package-lock.json ]; then
    say 'npm ci'
    npm ci --no-audit --no-fund >"$results/npm.log" 2>&1 || { tail -n 30 "$results/npm.log"; fail 'npm ci'; }
  fi
  say 'build'
  npm run --silent build || fail 'the build'
  # The first tap run after an install still holds the plugin that .taprc removes, and fails; this rebuilds its class.
  if [ ! .tap/plugins-built -nt node_modules/.package-lock.json ] || [ ! .tap/plugins-built -nt .taprc ]; then
    npx tap build >"$results/tap-build.log" 2>&1 || { cat "$results/tap-build.log"; fail 'tap build'; }
    mkdir -p .tap && touch .tap/plugins-built
  fi
}

# Compiled test files of the sources there are now, so that the output of a removed source is not run.
test_files() {
  find "$@" -name '*.test.ts' 2>/dev/null | sort | sed -e 's|^|build/|' -e 's|\.ts$|.js|'
}

unit_files() {
  test_files test | grep -vE '^build/test/(interop|netns|docker)/'
}

# tier NAME JOBS SECONDS FILE...: raw TAP to $results/NAME.tap, one line a file to the terminal.
tier() {
  local name=$1 jobs=$2 timeout=$3
  shift 3
  if [ $# -eq 0 ]; then
    say "$name: no test file"
    return 0
  fi
  say "$name: $# files"
  npx tap run --disable-coverage --reporter=tap --jobs="$jobs" --timeout="$timeout" "$@" |
    tee "$results/$name.tap" | grep --line-buffered -E '^(not )?ok '
  echo "${PIPESTATUS[0]}" >"$results/$name.exit"
}

# A busy machine may take longer over everything that a test only waits for.
export OVERLAYD_PATIENCE=${OVERLAYD_PATIENCE:-4}

results=$(mktemp -d "${TMPDIR:-/tmp}/overlayd-test.XXXXXX")
trap 'rm -rf "$results"' EXIT
tiers=${*:-unit interop netns docker}

install_packages
build
for name in $tiers; do
  case $name in
    unit) mapfile -t files < <(unit_files); tier unit 2 600 "${files[@]}" ;;
    netns) mapfile -t files < <(test_files test/netns); tier netns 2 600 "${files[@]}" ;;
    interop | docker) mapfile -t files < <(test_files "test/$name"); tier "$name" 1 600 "${files[@]}" ;;
    *) fail "no such tier: $name" ;;
  esac
done
node build/test/summary.js "$results"
