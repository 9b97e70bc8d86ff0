#!/bin/sh
# A value of several lines, line by line: kq worker orders -- ./lines.sh
#
# `read` fails at the end of its input, though it may have read a last line that no newline ends.
# Nothing ends the last line of a value, so `|| [ -n "$line" ]` lets the loop handle it as well.
set -eu
number=0
while IFS= read -r line || [ -n "$line" ]; do
    number=$((number + 1))
    printf '%s line %s: %s\n' "$KQ_RECORD_ID" "$number" "$line"
done
