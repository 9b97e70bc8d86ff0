#!/bin/sh
# Run it as: kq dev --topic orders:1 -- ./orders.sh
set -eu
printf '{"id":1}\n{"id":2}\n' | kq produce --quiet orders
test "$(kq consume orders --until end)" = '{"id":1}
{"id":2}'
