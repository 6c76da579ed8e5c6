#!/bin/sh
# A story in one terminal: two real images go through a real registry into containers, and out comes what it should.
# Everything lives in one private directory and below one cgroup; your own containers are not touched, and at the end
# the demo removes all it made and looks whether that is true. It fails when anything is not as it says.
#
# KNARR_BIN_DIR  where knarr, knarrd, the shim and the runtime are (default: target/bin)
# DEBIAN_TAR     a Debian root filesystem as a tar, made earlier; without it debootstrap makes one
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
PATH=${KNARR_BIN_DIR:-$here/target/bin}:$PATH:/usr/sbin:/sbin
export PATH
[ "$(id -u)" -eq 0 ] || { echo "the demo makes containers: please run it as root" >&2; exit 1; }

work=$(mktemp -d /tmp/knarr-demo-XXXXXX)
cgroup=/${work##*/}
export KNARR_HOST="unix://$work/state/knarrd.sock" KNARR_DEMO="$work"
code=0 netns=

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
fail() { printf '\nThe demo failed: %s\n' "$*" >&2; exit 1; }

# Prints a command as a person would type it, runs it, and shows what it says; its exit status is in $code.
run() {
    printf '$ %s\n' "$*" | sed "s|$work|…|g"
    code=0
    "$@" >"$work/out" 2>&1 || code=$?
    sed 's/^/    /' "$work/out"
}
succeeds() { [ "$code" -eq 0 ] || fail "the last command ended with $code"; }
# The last command must have ended well, and said this.
shows() {
    succeeds
    grep -q -e "$1" "$work/out" || fail "\"$1\" is not in what it said"
}
ends_with() { [ "$code" -eq "$1" ] || fail "it ended with $code, not with $1"; echo "    (exit status $code)"; }
# Waits, a tenth of a second at a time, until a command succeeds.
await() {
    tries=300
    until "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || fail "waited 30 seconds for: $*"
        sleep 0.1
    done
}

stop() { # a server of ours, by pid
    [ -n "${1:-}" ] && kill "$1" 2>/dev/null || return 0
    wait "$1" 2>/dev/null || true
}
cleanup() {
    ids=$(knarr ps -aq 2>/dev/null) || ids=
    # shellcheck disable=SC2086 # a list of ids
    [ -z "$ids" ] || knarr rm -f $ids >/dev/null 2>&1 || true
    stop "${knarrd:-}"
    stop "${registry:-}"
    for root in $(awk '/ - cgroup/ { print $5 }' /proc/self/mountinfo); do
        [ ! -d "$root$cgroup" ] || rmdir "$root$cgroup" 2>/dev/null || true
    done
    rm -rf --one-file-system "$work"
}
trap 'status=$?; [ "$status" -eq 0 ] || tail -n 20 "$work/knarrd.log" >&2 || true; cleanup; exit "$status"' EXIT
trap 'exit 130' INT TERM

# What is on the host that only this demo can have made. Says nothing when all is gone.
remains() {
    for process in /proc/[0-9]*; do
        [ "$process" != "/proc/$$" ] || continue
        if tr '\0' '\n' <"$process/environ" | grep -qx "KNARR_DEMO=$work" || grep -q ":$cgroup/" "$process/cgroup"; then
            # The shell's own helpers, this very look among them, are gone when it is over.
            [ "$(awk '{ print $4 }' "$process/stat")" = "$$" ] || echo "process ${process#/proc/}"
        fi
    done 2>/dev/null
    grep -F "$work" /proc/self/mountinfo | sed 's/^/mount /'
    for root in $(awk '/ - cgroup/ { print $5 }' /proc/self/mountinfo); do
        [ ! -d "$root$cgroup" ] || find "$root$cgroup" -type d | sed 's/^/cgroup /'
    done
    [ -z "$netns" ] || { readlink /proc/[0-9]*/ns/net 2>/dev/null; grep -F nsfs /proc/self/mountinfo; } |
        grep -F "$netns" | sort -u | sed 's/^/netns /'
    [ ! -e "$work" ] || echo "file $work"
    [ "$(ls -d /run/knarr /var/lib/knarr 2>/dev/null || true)" = "$before" ] || echo "file /run/knarr or /var/lib/knarr"
}
before=$(ls -d /run/knarr /var/lib/knarr 2>/dev/null || true)

say "1. A registry, Debian's docker-registry, on a free port of the loopback interface."
cat >"$work/registry.yml" <<END
version: 0.1
log: {level: info, formatter: text}
storage: {filesystem: {rootdirectory: $work/registry}}
http: {addr: '127.0.0.1:0'}
END
docker-registry serve "$work/registry.yml" >"$work/registry.log" 2>&1 &
registry=$!
await grep -q 'listening on' "$work/registry.log"
address=$(sed -n 's/.*listening on \([0-9.:]*\).*/\1/p' "$work/registry.log" | head -n 1)
echo "    it listens on $address"

say "2. An image of static busybox: one layer, made with umoci, pushed with skopeo."
mkdir -p "$work/busybox/bin" "$work/busybox/etc" "$work/busybox/tmp"
cp "$(command -v busybox)" "$work/busybox/bin/busybox"
for applet in $(busybox --list); do [ "$applet" = busybox ] || ln -s busybox "$work/busybox/bin/$applet"; done
echo 'root:x:0:0:root:/root:/bin/sh' >"$work/busybox/etc/passwd"
tar -C "$work/busybox" --numeric-owner --owner 0 --group 0 -cf "$work/busybox.tar" .
umoci init --layout "$work/images"
umoci new --image "$work/images:busybox"
umoci raw add-layer --image "$work/images:busybox" "$work/busybox.tar"
umoci config --image "$work/images:busybox" --config.cmd sh --config.env PATH=/bin
run skopeo --insecure-policy copy -q --dest-tls-verify=false "oci:$work/images:busybox" "docker://$address/demo/busybox:1"
succeeds

say "3. An image of a whole Debian: more than 100 MB in five layers, with what layers do (delete, link, own, mark)."
mkdir "$work/debian"
if [ -n "${DEBIAN_TAR:-}" ]; then
    tar -C "$work/debian" --numeric-owner --xattrs -xpf "$DEBIAN_TAR"
else
    mirror=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME)' 'Created-By: Packages' |
        awk '$2 !~ /-/ && /debian/ { print $1; exit }')
    debootstrap --variant=minbase bookworm "$work/debian" "$mirror" >"$work/debootstrap.log" 2>&1 ||
        { tail -n 5 "$work/debootstrap.log"; fail "debootstrap"; }
fi
rm -rf "$work/debian/var/cache/apt/archives" "$work/debian/var/lib/apt/lists"
layer() { # NAME TAR-ARGUMENTS…
    name=$1; shift
    tar -C "$work/debian" --numeric-owner --xattrs --xattrs-include='*' -cf "$work/$name.tar" "$@"
}
layer 1-libraries usr/lib bin sbin lib lib64
layer 2-programs usr/bin usr/sbin
layer 3-rest --exclude=./usr/lib --exclude=./usr/bin --exclude=./usr/sbin --exclude=./bin --exclude=./sbin \
    --exclude=./lib --exclude=./lib64 --exclude=./usr/share/man .
mkdir -p "$work/change/usr/share" "$work/change/srv/app"
: >"$work/change/usr/share/.wh.doc" # a whiteout: layer 3's documentation is gone
echo demo >"$work/change/srv/app/data"
ln "$work/change/srv/app/data" "$work/change/srv/app/same-data"
chown -R 1000:1000 "$work/change/srv/app"
setfattr -n user.made-by -v demo "$work/change/srv/app/data" 2>/dev/null || true
tar -C "$work/change" --numeric-owner --xattrs --xattrs-include='*' -cf "$work/4-change.tar" usr srv
mkdir -p "$work/last/usr/local/bin"
printf '#!/bin/sh\necho "I am $(id -un) on $(. /etc/os-release; echo "$PRETTY_NAME")"\n' >"$work/last/usr/local/bin/who"
chmod 755 "$work/last/usr/local/bin/who"
tar -C "$work/last" --numeric-owner --owner 0 --group 0 -cf "$work/5-program.tar" usr
umoci new --image "$work/images:debian"
for tar in "$work"/[1-5]-*.tar; do umoci raw add-layer --image "$work/images:debian" "$tar"; done
umoci config --image "$work/images:debian" --config.cmd who --config.env PATH=/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin
rm -rf "$work/debian"
du -ch "$work"/[1-5]-*.tar | sed "s|$work/|    |"
rm -f "$work"/[1-5]-*.tar
run skopeo --insecure-policy copy -q --dest-tls-verify=false "oci:$work/images:debian" "docker://$address/demo/debian:12"
succeeds
rm -rf "$work/images"

say "4. knarrd, with its files and its cgroups in the demo's own places."
knarrd --root "$work/root" --state "$work/state" --cgroup-parent "$cgroup" >"$work/knarrd.log" 2>&1 &
knarrd=$!
await knarr version
busybox=$address/demo/busybox:1
debian=$address/demo/debian:12

say "5. Hello."
run knarr pull "$busybox"
succeeds
run knarr run --rm "$busybox" echo "hello from a container"
shows '^hello from a container$'

say "6. A pipeline in the container's shell, and one that goes through it from outside."
run knarr run --rm "$busybox" sh -c 'seq 1 9 | grep -v 5 | wc -l'
shows '^8$'
printf '$ printf "c\\nb\\na\\n" | knarr run --rm -i %s sort\n' "$busybox"
printf 'c\nb\na\n' | knarr run --rm -i "$busybox" sort >"$work/out" 2>&1 || fail "the pipeline"
sed 's/^/    /' "$work/out"
[ "$(tr -d '\n' <"$work/out")" = abc ] || fail "not sorted"

say "7. Limits, seen from inside: 64 MiB of memory, half a CPU, 40 processes."
run knarr run --rm --memory 64m --cpus 0.5 --pids-limit 40 "$busybox" sh -c '
    cd /sys/fs/cgroup
    cat memory/memory.limit_in_bytes memory.max 2>/dev/null
    cat cpu/cpu.cfs_quota_us cpu.max 2>/dev/null
    cat pids/pids.max pids.max 2>/dev/null
    true' # of each two files a machine has one
shows '^67108864$'
shows '^50000'
shows '^40$'

say "8. The exit status comes back as it was, and what can't be started has its own."
run knarr run --rm "$busybox" sh -c 'exit 42'
ends_with 42
run knarr run --rm "$busybox" no-such-program
ends_with 127

say "9. A container in the background: its list entry, its log, a second process in it, its end."
run knarr run -d --name clock "$busybox" sh -c 'n=0; while :; do n=$((n + 1)); echo "tick $n"; sleep 1; done'
shows '^[0-9a-f]\{12,\}$'
pid=$(knarr inspect --format '{{.State.Pid}}' clock 2>/dev/null) || pid=
[ -z "$pid" ] || netns=$(readlink "/proc/$pid/ns/net")
run knarr ps
shows clock
saw_ticks() { knarr logs clock | grep -q 'tick 2'; }
await saw_ticks
run knarr logs clock
shows 'tick 2'
run knarr exec clock sh -c 'echo "beside pid 1, which runs: $(tr "\0" " " </proc/1/cmdline)"'
shows 'pid 1, which runs: sh -c'
run knarr stop -t 1 clock
shows clock
run knarr ps -a
shows '\(137\|143\)'
run knarr rm clock
shows clock

say "10. The whole Debian: pulled, every digest verified, five layers stacked."
run knarr pull "$debian"
succeeds
run knarr run --rm "$debian"
shows 'I am root on Debian GNU/Linux 12'
run knarr run --rm "$debian" sh -c 'dpkg -l | grep -c ^ii; ls /usr/share/doc 2>&1; ls -ln /srv/app'
shows 'No such file'
shows '2 1000 1000 .* same-data'
run knarr images
shows demo/debian

say "11. Everything the demo made goes away."
cleanup
trap - EXIT
tries=50
while left=$(remains); [ -n "$left" ] && [ "$tries" -gt 0 ]; do tries=$((tries - 1)); sleep 0.1; done
[ -z "$left" ] || { echo "$left" >&2; fail "the above is left"; }
echo "    no process, mount, cgroup, network namespace or file is left"
