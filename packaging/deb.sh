#!/bin/sh
# deb.sh BIN VERSION OUT.deb: packs the four programs in BIN, their units, man pages and completions as a Debian package.
# DEB_COMPRESSION is dpkg-deb's -Z, xz by default.
# By dpkg-deb alone: cargo-deb builds what it packs, all with one profile and one target, and our programs have two of each.
set -eu
bin=$1 version=$2 out=$3
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root

install -d "$root/usr/bin" "$root/lib/systemd/system" "$root/usr/share/doc/knarr" "$root/DEBIAN"
for program in knarr knarrd containerd-shim-knarr-v2 knarr-runtime; do install -m 755 "$bin/$program" "$root/usr/bin/"; done
install -m 644 "$here/knarrd.service" "$here/knarrd.socket" "$here/knarrd-docker.socket" "$root/lib/systemd/system/"
install -m 644 "$here/../LICENSE" "$root/usr/share/doc/knarr/copyright"
"$here/documents.sh" "$bin" "$root/usr/share"

cat >"$root/DEBIAN/control" <<EOF
Package: knarr
Version: $version
Architecture: $(dpkg --print-architecture)
Maintainer: The knarr developers <knarr@localhost>
Installed-Size: $(du -sk "$root" | cut -f 1)
Depends: libc6 (>= 2.34), libgcc-s1
Recommends: ca-certificates
Section: admin
Priority: optional
Description: container engine of four small programs
 Runs containers from OCI and Docker images: the command line knarr, its manager knarrd, the shim
 containerd-shim-knarr-v2 (for containerd, too), and the OCI runtime knarr-runtime.
EOF
for script in postinst prerm postrm; do install -m 755 "$here/debian/$script" "$root/DEBIAN/"; done
# Its owner is root whoever builds it.
dpkg-deb --root-owner-group "-Z${DEB_COMPRESSION:-xz}" --build "$root" "$out" >/dev/null
