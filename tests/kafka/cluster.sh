#!/usr/bin/env bash
# Starts and stops an Apache Kafka cluster on this machine, from Maven Central jars.
#
#   cluster.sh up VERSION NODES DIR   start it in DIR (which must not be there) and print its bootstrap brokers
#   cluster.sh down DIR               stop it and remove DIR
#   cluster.sh kill DIR N             end broker N with KILL
#   cluster.sh start VERSION DIR N    start broker N again
#
# VERSION is one of pom.xml's profiles: 4.1.0 (KRaft), 3.9.1 and 2.0.0 (ZooKeeper).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

case "${1:-} $#" in
  'up 4')
    mkdir -p "$(dirname "$4")"
    dir=$(cd "$(dirname "$4")" && pwd)/$(basename "$4")
    [[ ! -e $dir ]] || die "$dir is there already: '$0 down $dir' removes it"
    # Whatever goes wrong on the way up leaves nothing running.
    trap '[[ -e $dir/bootstrap ]] || cluster_down "$dir"' EXIT
    cluster_up "$2" "$3" "$dir"
    cat "$dir/bootstrap"
    ;;
  'down 2') cluster_down "$2" ;;
  'kill 3')
    kill -KILL "$(<"$2/node-$3/pid")"
    stop_node "$2/node-$3"
    ;;
  'start 4') start_node "$2" "$3/node-$4" kafka.Kafka "$3/node-$4/server.properties" ;;
  *)
    sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
