#!/usr/bin/env bash
# pack.sh DIR: makes DIR/config.json and DIR/rootfs, for `docker plugin create overlayd DIR`.
#
# The root file system holds what the daemon runs on and nothing else: Node with the libraries that it is linked to, the
# compiled daemon, and the packages it needs at run time. To be run after the build, on a system like the hosts.
set -euo pipefail
[ $# -eq 1 ] || { echo "usage: $0 DIR" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
[ -e "$root/build/agent/main.js" ] || { echo 'nothing is built: npm run build' >&2; exit 1; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
rootfs=$out/rootfs
rm -rf "$rootfs"
mkdir -p "$rootfs"/{usr/local/bin,overlayd,etc,tmp,run/docker/plugins,run/overlayd,var/lib/overlayd,proc,sys,dev}

node=$(readlink -f "$(command -v node)")
install -m 755 "$node" "$rootfs/usr/local/bin/node"
# Where the loader looks for them is where they are here.
ldd "$node" | grep -oE '/[^ ]+' | while read -r library; do
  install -D -m 755 "$(readlink -f "$library")" "$rootfs$library"
done
printf 'root:x:0:0:root:/root:/none\n' >"$rootfs/etc/passwd"
printf 'hosts: files dns\n' >"$rootfs/etc/nsswitch.conf"

"$root/packaging/copy-program.sh" "$rootfs/overlayd"
cp "$here/config.json" "$out/config.json"
echo "packed: $(du -sh "$rootfs" | cut -f1) in $out"
