#!/bin/sh
# image.sh DIRECTORY [RELEASE]: makes what the virtual machines boot, small Debians of the host's own release with systemd
# and D-Bus. For the runtime: DIRECTORY/base.cpio, all of it in the initial ramdisk. For the engine: DIRECTORY/disk.ext4, with
# the programs that the engine's tests need, and DIRECTORY/start.cpio, which mounts that disk. Both boot DIRECTORY/vmlinuz:
# the kernel of RELEASE (bullseye: Linux 5.10), whose package lists are fetched for this alone (77: they are not to be had any
# more), or of the host's release.
# Needs mmdebstrap, cpio, mke2fs, busybox (static) and the network; nothing is installed, and nothing outside DIRECTORY changes.
set -eu
out=$1
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$out"
work=$(mktemp -d "$out/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
. /etc/os-release

# The kernel package is only unpacked: installing it would run its hooks on the host.
release=${2:-}
if [ -n "$release" ]; then
    mkdir -p "$work/apt/lists/partial" "$work/apt/cache"
    mirror=http://deb.debian.org
    printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s main\n' "$mirror/debian $release" "$mirror/debian-security $release-security" >"$work/apt/list"
    printf 'Dir::Etc::sourcelist "%s";\nDir::Etc::sourceparts "/dev/null";\nDir::State::lists "%s";\nDir::Cache "%s";\n' \
        "$work/apt/list" "$work/apt/lists" "$work/apt/cache" >"$work/apt/conf"
    export APT_CONFIG="$work/apt/conf"
    apt-get update -o APT::Update::Error-Mode=any >/dev/null 2>&1 || exit 77
fi
kernel=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
[ -n "$kernel" ] || { echo "image.sh: no linux-image-cloud-amd64 here" >&2; exit 1; }
(cd "$work" && apt-get download "$kernel" >/dev/null && dpkg-deb -x "$kernel"_*.deb kernel)
unset APT_CONFIG
version=$(ls "$work/kernel/lib/modules")

# modules DIRECTORY NAME...: puts these into DIRECTORY in the order in which they go into the kernel.
modules() {
    to=$1; shift
    mkdir -p "$to"
    for name in "$@"; do
        found=$(find "$work/kernel/lib/modules/$version" -name "$name.ko*")
        # What is not a module is in the kernel.
        [ -z "$found" ] || { cp "$found" "$to/" && echo "$name.ko" >>"$to/order"; }
    done
}
virtio="virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_console"
busybox=$(command -v busybox)

# debian DIRECTORY PACKAGE...: a root file system with these packages and what busybox has of the rest.
debian() {
    root=$1; shift
    mmdebstrap --quiet --variant=extract --include="$(echo "systemd dbus runc util-linux libgcc-s1 $*" | tr ' ' ,)" "$VERSION_CODENAME" "$root" >/dev/null
    (cd "$root" && rm -rf usr/share/doc usr/share/man usr/share/locale usr/share/zoneinfo var/cache/apt var/lib/apt \
        usr/lib/udev usr/share/bash-completion usr/share/i18n usr/lib/x86_64-linux-gnu/gconv usr/share/perl5 \
        usr/lib/x86_64-linux-gnu/perl-base)
    # --variant=extract runs no maintainer scripts: what they would have made is made here.
    mkdir -p "$root/bin" "$root/sbin" "$root/proc" "$root/sys" "$root/dev" "$root/run" "$root/tmp" "$root/root" "$root/etc"
    cp "$busybox" "$root/bin/busybox"
    ln -sf busybox "$root/bin/sh"
    for name in mkdir cat ls ln insmod chroot ip ps sleep cp chmod rm tar diff grep sed mkfifo mknod touch; do
        [ -e "$root/bin/$name" ] || [ -e "$root/usr/bin/$name" ] || [ -e "$root/sbin/$name" ] || ln -s busybox "$root/bin/$name"
    done
    printf 'root:x:0:0::/root:/bin/sh\nmessagebus:x:100:100::/:/bin/false\nuser:x:1000:1000::/tmp:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n' >"$root/etc/passwd"
    printf 'root:x:0:\nmessagebus:x:100:\nuser:x:1000:\nnogroup:x:65534:\n' >"$root/etc/group"
    echo 00000000000000000000000000000001 >"$root/etc/machine-id"
    ldconfig -r "$root"
    mkdir -p "$root/etc/systemd/system"
    cp "$here/test.service" "$here/test.target" "$here/dbus.service" "$here/dbus.socket" "$root/etc/systemd/system/"
}

debian "$work/root"
modules "$work/root/lib/modules-of-the-vm" $virtio
cp "$here/init" "$work/root/init"
chmod 755 "$work/root/init"
# Not compressed: the emulated processor would take longer to unpack it than qemu to load it.
(cd "$work/root" && find . | cpio --quiet -o -H newc) >"$work/base.cpio"

debian "$work/engine" apparmor bash containerd coreutils crun docker-registry dpkg libc-bin procps skopeo strace tar
: >"$work/engine/var/lib/dpkg/status"
mkdir -p "$work/engine/var/lib/dpkg/info" "$work/engine/var/lib/dpkg/updates" "$work/engine/test"
modules "$work/engine/lib/modules-of-the-vm" $virtio overlay
mke2fs -q -F -t ext4 -d "$work/engine" "$work/disk.ext4" 3G

modules "$work/start/modules" $virtio virtio_blk
mkdir -p "$work/start/bin" "$work/start/dev" "$work/start/proc" "$work/start/disk"
cp "$busybox" "$work/start/bin/busybox"
cp "$here/start" "$work/start/init"
chmod 755 "$work/start/init"
(cd "$work/start" && find . | cpio --quiet -o -H newc) >"$work/start.cpio"

cp "$work"/kernel/boot/vmlinuz-* "$work/vmlinuz"
mv "$work/vmlinuz" "$work/base.cpio" "$work/disk.ext4" "$work/start.cpio" "$out/"
