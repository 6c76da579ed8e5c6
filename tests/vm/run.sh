#!/bin/sh
# Runs the checks inside the virtual machine: their words go to one virtio port, the exit status to another, and the
# machine is switched off. Nothing of this is on the serial console, whose last bytes get lost.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root KNARR_BIN_DIR=/test TMPDIR=/tmp
cd /lib/modules-of-the-vm || exit 1
while read -r module; do insmod "./$module"; done <order
cd /
# The host tells the ports' names a moment after they are there.
until [ -e /run/port.out ] && [ -e /run/port.status ]; do
    for port in /sys/class/virtio-ports/*; do
        read -r name <"$port/name" && [ -n "$name" ] && ln -sf "/dev/${port##*/}" "/run/port.$name"
    done
done
ip link set lo up
# Held open to the end: what a port was told is lost when it is closed early.
exec 3>/run/port.out 4>/run/port.status
/test/vm-guest >&3 2>&1 </dev/null
echo "status $?" >&4
# -no-reboot ends qemu.
echo b >/proc/sysrq-trigger
