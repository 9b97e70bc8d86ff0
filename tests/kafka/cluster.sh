#!/usr/bin/env bash
# Starts and stops an Apache Kafka cluster on this machine, from Maven Central jars.
#
#   cluster.sh up VERSION NODES DIR   start it in DIR, which it makes, and print its bootstrap brokers
#   cluster.sh run VERSION DIR        the same with the node-N/server.properties (zookeeper/zk.properties) that DIR holds
#   cluster.sh down DIR               stop it and remove DIR
#   cluster.sh kill DIR N             end broker N with KILL
#   cluster.sh start VERSION DIR N    start broker N again
#   cluster.sh stop DIR N             let broker N hang (SIGSTOP): connections stay, nothing answers
#   cluster.sh continue DIR N         continue it after `stop`
#
# VERSION is one of pom.xml's profiles: 4.1.0 (KRaft), 3.9.1 and 2.0.0 (ZooKeeper).

set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

case "${1:-} $#" in
  'up 4' | 'run 3')
    dir=${!#}
    mkdir -p "$dir"
    dir=$(cd "$dir" && pwd)
    [[ ! -e $dir/bootstrap ]] || die "a cluster is in $dir already: '$0 down $dir' removes it"
    # Whatever goes wrong on the way up leaves nothing running.
    trap '[[ -e $dir/bootstrap ]] || cluster_down "$dir"' EXIT
    case $1$2 in
      run*) ;;
      up4.*) kraft_properties "$3" "$dir" ;;
      *) zookeeper_properties "$3" "$dir" ;;
    esac
    start_all "$2" "$dir"
    cat "$dir/bootstrap"
    ;;
  'down 2') cluster_down "$2" ;;
  'kill 3')
    kill -KILL "$(<"$2/node-$3/pid")"
    stop_node "$2/node-$3"
    ;;
  'start 4') start_node "$2" "$3/node-$4" kafka.Kafka "$3/node-$4/server.properties" ;;
  'stop 3') kill -STOP "$(<"$2/node-$3/pid")" ;;
  'continue 3') kill -CONT "$(<"$2/node-$3/pid")" ;;
  *)
    sed -n '2,/^$/s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
