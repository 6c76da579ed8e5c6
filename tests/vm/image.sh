#!/bin/sh
# image.sh DIRECTORY [RELEASE]: makes what the virtual machine boots: DIRECTORY/vmlinuz and DIRECTORY/base.cpio, a small Debian
# of the host's own release with systemd, D-Bus and the modules for its one device, all in the initial ramdisk. The kernel
# is that of RELEASE (bullseye: Linux 5.10), whose package lists are fetched for this alone (77: they are not to be had any
# more), or the host's release's.
# Needs mmdebstrap, cpio, busybox (static) and the network; nothing is installed, and nothing outside DIRECTORY changes.
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

root=$work/root
mmdebstrap --quiet --variant=extract --include=systemd,dbus,runc,util-linux,libgcc-s1 "$VERSION_CODENAME" "$root" >/dev/null
rm -rf "$root/usr/share/doc" "$root/usr/share/man" "$root/usr/share/locale" "$root/usr/share/zoneinfo" \
    "$root/var/cache/apt" "$root/var/lib/apt" "$root/usr/lib/udev" "$root/usr/share/bash-completion" "$root/usr/share/i18n" \
    "$root/usr/lib/x86_64-linux-gnu/gconv" "$root/usr/share/perl5" "$root/usr/lib/x86_64-linux-gnu/perl-base"

# --variant=extract runs no maintainer scripts: what they would have made is made here.
busybox=$(command -v busybox)
mkdir -p "$root/bin" "$root/sbin" "$root/proc" "$root/sys" "$root/dev" "$root/run" "$root/tmp" "$root/root" "$root/etc"
cp "$busybox" "$root/bin/busybox"
for name in sh mkdir cat ls ln insmod chroot ip ps sleep cp chmod; do
    ln -sf busybox "$root/bin/$name"
done
printf 'root:x:0:0::/root:/bin/sh\nmessagebus:x:100:100::/:/bin/false\nuser:x:1000:1000::/tmp:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n' >"$root/etc/passwd"
printf 'root:x:0:\nmessagebus:x:100:\nuser:x:1000:\nnogroup:x:65534:\n' >"$root/etc/group"
echo 00000000000000000000000000000001 >"$root/etc/machine-id"
ldconfig -r "$root"
modules=$root/lib/modules-of-the-vm
mkdir -p "$modules"
for name in virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_console; do
    found=$(find "$work/kernel/lib/modules/$version" -name "$name.ko*")
    # What is not a module is in the kernel.
    [ -z "$found" ] || { cp "$found" "$modules/" && echo "$name.ko" >>"$modules/order"; }
done
cp "$here/init" "$root/init"
chmod 755 "$root/init"
mkdir -p "$root/etc/systemd/system"
cp "$here/test.service" "$here/test.target" "$here/dbus.service" "$here/dbus.socket" "$root/etc/systemd/system/"

cp "$work"/kernel/boot/vmlinuz-* "$work/vmlinuz"
# Not compressed: the emulated processor would take longer to unpack it than qemu to load it.
(cd "$root" && find . | cpio --quiet -o -H newc) >"$work/base.cpio"
mv "$work/vmlinuz" "$work/base.cpio" "$out/"
