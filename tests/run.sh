#!/bin/sh
# Runs every test of the workspace. Its last line is `N passed, N failed, N skipped`; a skipped test is one that
# said `SKIP name: why` because the machine lacks something (tests/src/require.rs).
set -u
cd "$(dirname "$0")/.." || exit 1
logs=$(mktemp -d) || exit 1
trap 'rm -rf "$logs"' EXIT
export KNARR_SKIP_LOG="$logs/skips"
: >"$KNARR_SKIP_LOG"

if cargo nextest --version >/dev/null 2>&1; then
    { cargo nextest run --workspace --no-fail-fast "$@" 2>&1; echo $? >"$logs/status"; } | tee "$logs/out"
    # "Summary [ 61.2s] 340 tests run: 338 passed (2 slow), 1 failed, 1 timed out, 0 skipped"
    counts=$(sed -n 's/.*Summary \[.*\] *\([0-9/]*\) tests\{0,1\} run: \([0-9]*\) passed.*/\1 \2/p' "$logs/out" | tail -n 1)
    run=${counts%% *}; run=${run##*/}; passed=${counts##* }
else
    { cargo test --workspace --no-fail-fast "$@" 2>&1; echo $? >"$logs/status"; } | tee "$logs/out"
    # "test result: ok. 12 passed; 0 failed; …", one for each program
    run=$(sed -n 's/^test result: .* \([0-9]*\) passed; \([0-9]*\) failed.*/\1 \2/p' "$logs/out" |
        awk '{ run += $1 + $2 } END { print run + 0 }')
    passed=$(sed -n 's/^test result: .* \([0-9]*\) passed; .*/\1/p' "$logs/out" | awk '{ n += $1 } END { print n + 0 }')
fi
status=$(cat "$logs/status")
: "${run:=0}" "${passed:=0}"
failed=$((run - passed))
# Nothing was run (it did not build), or the runner failed by itself: that is a failure too.
if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then failed=1; fi
if [ "$run" -eq 0 ]; then status=1 failed=1; fi

# A skipped test returns early, and so it counts as passed with the runner; a test skips once.
skipped=$(sort -u "$KNARR_SKIP_LOG" | grep -c .)
sort -u "$KNARR_SKIP_LOG"
echo "$((passed - skipped)) passed, $failed failed, $skipped skipped"
exit "$status"
