# Apache Kafka from Maven Central jars: fetch, configure, start, wait, stop. Sourced by the scripts beside it.
#
# A cluster lives in one folder: node-N/{server.properties,pid,log,data}, zookeeper/ for the old ones, `bootstrap`.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
KAFKA_HOME=${KQ_KAFKA_DIR:-$root/target/kafka}
# A fixed, valid KRaft cluster id (base64 of 16 bytes): a folder is formatted once and thrown away.
CLUSTER_ID=a3EtdGVzdC1jbHVzdGVyMA

die() {
  echo "$(basename "$0"): $*" >&2
  exit 1
}

need() {
  local tool
  for tool in "$@"; do
    command -v "$tool" >/dev/null || die "'$tool' is missing: install it (Debian: apt-get install default-jdk-headless maven kcat golang-go python3)"
  done
}

# The jars of a version, fetched once into the clone; prints their folder.
jars() {
  local version=$1 dir=$KAFKA_HOME/jars-$1
  if [[ ! -e $dir/.whole ]]; then
    need mvn
    mkdir -p "$dir"
    mvn -q -B -Dstyle.color=never -f "$here/pom.xml" -P "$version" dependency:copy-dependencies "-DoutputDirectory=$dir" >&2 ||
      die "fetching the jars of Kafka $version failed"
    touch "$dir/.whole"
  fi
  echo "$dir"
}

# Runs a class of a version's jars: kafka_java VERSION CLASS ARGS…
kafka_java() {
  local version=$1
  shift
  # shellcheck disable=SC2086 # options are words
  java -Xms64m -Xmx512m -XX:+UseSerialGC ${KAFKA_JVM_OPTS:-} \
    "-Dlog4j2.configurationFile=$here/log4j2.properties" "-Dlog4j.configuration=file:$here/log4j.properties" \
    -cp "$(jars "$version")/*" "$@"
}

# Prints COUNT ports that nothing listens on, below the ephemeral range.
free_ports() {
  local count=$1 port
  local -A taken=()
  while ((${#taken[@]} < count)); do
    port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
    [[ -z ${taken[$port]:-} ]] || continue
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      taken[$port]=1
      echo "$port"
    fi
  done
}

# Starts a process of a cluster in the background: start_node VERSION NODE_DIR CLASS CONFIG
start_node() {
  local version=$1 dir=$2 class=$3 config=$4
  mkdir -p "$dir"
  jars "$version" >/dev/null
  # A session of its own: an interrupt at the terminal is for the script, which then stops its nodes.
  setsid bash -c 'echo $$ >"$1/pid"; shift; source "$1/lib.sh"; exec_kafka_java "${@:2}"' \
    bash "$dir" "$here" "$version" "$class" "$config" >>"$dir/log" 2>&1 </dev/null &
  disown
}

# kafka_java in place of this shell, so that the pid is the broker's.
exec_kafka_java() {
  java() { exec "$(type -P java)" "$@"; }
  kafka_java "$@"
}

# Formats a KRaft node's folder.
format_node() {
  local version=$1 config=$2
  kafka_java "$version" kafka.tools.StorageTool format -t "$CLUSTER_ID" -c "$config" >"$(dirname "$config")/format.log" 2>&1 ||
    { cat "$(dirname "$config")/format.log" >&2; die "formatting $config failed"; }
}

# Waits until NODES brokers answer in the metadata of BOOTSTRAP: wait_ready DIR BOOTSTRAP NODES
wait_ready() {
  local dir=$1 bootstrap=$2 nodes=$3 deadline=$((SECONDS + ${KAFKA_START_LIMIT:-120})) log
  need kcat
  until kcat -b "$bootstrap" -L -m 2 2>/dev/null | grep -q "^ $nodes brokers:"; do
    if ((SECONDS >= deadline)) || ! all_run "$dir"; then
      for log in "$dir"/*/log; do
        echo "--- $log" >&2
        tail -n 40 "$log" >&2
      done
      die "no cluster of $nodes brokers at $bootstrap"
    fi
    sleep 0.3
  done
}

# Whether each process of the cluster runs.
all_run() {
  local pid
  for pid in "$1"/*/pid; do
    kill -0 "$(<"$pid")" 2>/dev/null || return 1
  done
}

# Stops one process of a cluster, with TERM and then KILL: stop_node NODE_DIR
stop_node() {
  local pid deadline=$((SECONDS + 20))
  [[ -e $1/pid ]] || return 0
  pid=$(<"$1/pid")
  kill -TERM "$pid" 2>/dev/null || true
  while kill -0 "$pid" 2>/dev/null; do
    ((SECONDS < deadline)) || kill -KILL "$pid" 2>/dev/null || true
    sleep 0.1
  done
  rm -f "$1/pid"
}

# Stops a cluster and removes its folder: brokers first, all at once, then ZooKeeper.
cluster_down() {
  local dir=$1 node pids=()
  for node in "$dir"/node-*; do
    [[ -d $node ]] || continue
    # Nothing in it is kept: no controlled shutdown.
    [[ ! -e $node/pid ]] || kill -KILL "$(<"$node/pid")" 2>/dev/null || true
    stop_node "$node" &
    pids+=($!)
  done
  ((${#pids[@]} == 0)) || wait "${pids[@]}"
  stop_node "$dir/zookeeper"
  rm -rf "$dir"
}

# What all brokers of a test cluster have in common, and the lines of KQ_KAFKA_PROPERTIES: common_properties NODES
# Records of 1970 are there for as long as their test: a broker looks for old ones half a minute after its start, and each
# five minutes.
common_properties() {
  local nodes=$1 replicas=$(($1 < 3 ? $1 : 3)) in_sync=$(($1 < 3 ? 1 : 2))
  cat <<PROPERTIES
num.partitions=4
default.replication.factor=$replicas
min.insync.replicas=$in_sync
offsets.topic.replication.factor=$replicas
offsets.topic.num.partitions=6
transaction.state.log.replication.factor=$replicas
transaction.state.log.min.isr=$in_sync
transaction.state.log.num.partitions=6
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
auto.create.topics.enable=true
log.retention.ms=-1
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=4194304
log.cleaner.backoff.ms=500
${KQ_KAFKA_PROPERTIES:-}
PROPERTIES
}

# Writes the properties of NODES KRaft brokers into DIR: kraft_properties NODES DIR
kraft_properties() {
  local nodes=$1 dir=$2 ports voters='' n
  mapfile -t ports < <(free_ports $((2 * nodes)))
  for ((n = 0; n < nodes; n++)); do
    voters+=${voters:+,}$((n + 1))@127.0.0.1:${ports[nodes + n]}
  done
  for ((n = 0; n < nodes; n++)); do
    local node=$dir/node-$((n + 1))
    mkdir -p "$node"
    {
      common_properties "$nodes"
      cat <<PROPERTIES
process.roles=broker,controller
node.id=$((n + 1))
listeners=PLAINTEXT://127.0.0.1:${ports[n]},CONTROLLER://127.0.0.1:${ports[nodes + n]}
advertised.listeners=PLAINTEXT://127.0.0.1:${ports[n]}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
controller.quorum.voters=$voters
log.dirs=$node/data
PROPERTIES
    } >"$node/server.properties"
  done
}

# Writes the properties of a ZooKeeper and NODES brokers into DIR: zookeeper_properties NODES DIR
zookeeper_properties() {
  local nodes=$1 dir=$2 ports n
  mapfile -t ports < <(free_ports $((nodes + 1)))
  zookeeper_config "$dir" 127.0.0.1 "${ports[nodes]}"
  for ((n = 0; n < nodes; n++)); do
    local node=$dir/node-$((n + 1))
    mkdir -p "$node"
    {
      common_properties "$nodes"
      cat <<PROPERTIES
broker.id=$((n + 1))
listeners=PLAINTEXT://127.0.0.1:${ports[n]}
advertised.listeners=PLAINTEXT://127.0.0.1:${ports[n]}
zookeeper.connect=127.0.0.1:${ports[nodes]}
zookeeper.connection.timeout.ms=30000
log.dirs=$node/data
PROPERTIES
    } >"$node/server.properties"
  done
}

# Writes ZooKeeper's own: zookeeper_config DIR ADDRESS PORT
zookeeper_config() {
  mkdir -p "$1/zookeeper"
  cat >"$1/zookeeper/zk.properties" <<PROPERTIES
dataDir=$1/zookeeper/data
clientPortAddress=$2
clientPort=$3
admin.enableServer=false
maxClientCnxns=0
PROPERTIES
}

# What clients start from, by the properties in DIR: the last listener that each broker advertises.
bootstrap_of() {
  sed -n 's|^advertised.listeners=.*//||p' "$1"/node-*/server.properties | paste -sd,
}

# Starts what DIR has properties for, and waits until it answers: start_all VERSION DIR
start_all() {
  local version=$1 dir=$2 node nodes=0 formats=()
  need java kcat setsid
  jars "$version" >/dev/null
  for node in "$dir"/node-*; do
    nodes=$((nodes + 1))
    grep -q '^process.roles=' "$node/server.properties" || continue
    format_node "$version" "$node/server.properties" &
    formats+=($!)
  done
  for node in "${formats[@]}"; do wait "$node" || die "a node could not be formatted"; done
  if [[ -e $dir/zookeeper/zk.properties ]]; then
    start_node "$version" "$dir/zookeeper" org.apache.zookeeper.server.quorum.QuorumPeerMain "$dir/zookeeper/zk.properties"
  fi
  for node in "$dir"/node-*; do
    start_node "$version" "$node" kafka.Kafka "$node/server.properties"
  done
  wait_ready "$dir" "$(bootstrap_of "$dir")" "$nodes"
  bootstrap_of "$dir" >"$dir/bootstrap"
}
