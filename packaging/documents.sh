#!/bin/sh
# documents.sh BIN SHARE: writes the man pages and completions of the programs in BIN below SHARE (…/share).
set -eu
bin=$1 share=$2
umask 022
mkdir -p "$share/man/man1" "$share/man/man8" "$share/bash-completion/completions" "$share/zsh/vendor-completions" \
    "$share/fish/vendor_completions.d"
"$bin/knarr" man "$share/man/man1"
"$bin/knarrd" man "$share/man/man8"
gzip -9nf "$share"/man/man1/*.1 "$share"/man/man8/*.8
"$bin/knarr" completion bash >"$share/bash-completion/completions/knarr"
"$bin/knarr" completion zsh >"$share/zsh/vendor-completions/_knarr"
"$bin/knarr" completion fish >"$share/fish/vendor_completions.d/knarr.fish"
