#!/bin/sh
# One process a record: kq worker orders -- ./oneshot.sh
#
# The value is on stdin, the rest of the record in KQ_RECORD_*. Status 0 commits it,
# 65 says that no retry will help, any other status has it tried again.
set -eu
value=$(cat)
case $value in
bad) echo "a bad value" >&2; exit 65 ;;
esac
printf '%s %s\n' "$KQ_RECORD_ID" "$value"
