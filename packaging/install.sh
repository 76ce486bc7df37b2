#!/usr/bin/env bash
# install.sh [ROOT]: overlayd as a program of this host, or of one whose files are below ROOT. Run again, it takes the new
# build over, and leaves the configuration as it is.
#
#   /opt/overlayd                        the program, readable to all: the unit sees no home folder
#   /usr/bin/overlayd                    the command
#   /etc/overlayd/overlayd.yaml          every key, none set; 0700, for keys will be beside it
#   /etc/systemd/system/overlayd.service
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=${1:-}
umask 022
node=$(readlink -f "$(command -v node)")
case $node in
  /home* | /root*)
    echo "node is $node: the service sees no home folder. Install Node where all may read it, such as /usr/local." >&2
    exit 1
    ;;
esac

program=$root/opt/overlayd
rm -rf "$program.new"
"$here/copy-program.sh" "$program.new"
cat >"$program.new/overlayd" <<END
#!/bin/sh
exec $node "\$(dirname "\$(readlink -f "\$0")")/build/agent/main.js" "\$@"
END
chmod 755 "$program.new/overlayd"
rm -rf "$program"
mv "$program.new" "$program"
install -d "$root/usr/bin" "$root/etc/systemd/system"
ln -sfn ../../opt/overlayd/overlayd "$root/usr/bin/overlayd"

install -d -m 700 "$root/etc/overlayd"
[ -e "$root/etc/overlayd/overlayd.yaml" ] ||
  install -m 600 "$here/overlayd.yaml" "$root/etc/overlayd/overlayd.yaml"
install -m 644 "$here/overlayd.service" "$root/etc/systemd/system/overlayd.service"
[ -z "$root" ] && [ -d /run/systemd/system ] && systemctl daemon-reload
echo "installed: $("$root/usr/bin/overlayd" version)"
echo 'as a service: edit /etc/overlayd/overlayd.yaml, then systemctl enable --now overlayd'
