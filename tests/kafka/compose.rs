//! docker-compose.yml's listener settings on real brokers: each form started from jars, and reached from outside.
//!
//! A container's name becomes a loopback address of its own, and each port a free one; the rest is as the
//! file says. So a listener that is not advertised, or advertised elsewhere than published, is not reached.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use crate::support::Kq;
use crate::support::compose::{Service, Variables, read};

const CLUSTER_SH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kafka/cluster.sh");

/// Brokers started from the file, and the addresses that clients outside are told; stopped when dropped.
struct Started {
    dir: PathBuf,
    bootstrap: String,
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = Command::new(CLUSTER_SH).arg("down").arg(&self.dir).status();
    }
}

#[test]
fn the_three_brokers_are_reached_at_localhost() {
    let started = start("4.1.0", &[], |service| service.profiles.is_empty());
    works(&started, "127.0.0.1", 3);
}

#[test]
fn the_three_brokers_are_reached_at_my_ip() {
    let started = start("4.1.0", &[("MY_IP", "127.0.0.2")], |service| service.profiles.is_empty());
    works(&started, "127.0.0.2", 3);
}

#[test]
fn the_zookeeper_form_is_reached_at_localhost() {
    let started = start("3.9.1", &[], |service| service.profiles == ["zookeeper"]);
    works(&started, "127.0.0.1", 1);
}

#[test]
fn the_zookeeper_form_is_reached_at_my_ip() {
    let started = start("3.9.1", &[("MY_IP", "127.0.0.2")], |service| service.profiles == ["zookeeper"]);
    works(&started, "127.0.0.2", 1);
}

/// From one broker's address all others are found, at `ip`, and records go in and out of all of them.
#[track_caller]
fn works(started: &Started, ip: &str, brokers: usize) {
    let first = started.bootstrap.split(',').next().expect("a broker");
    let metadata = Kq::program("kcat", ["-b", first, "-L"]).run().success();
    for address in started.bootstrap.split(',') {
        assert!(address.starts_with(&format!("{ip}:")), "{address} is not at {ip}");
        assert!(metadata.text().contains(&format!(" at {address}")), "{address} is not in\n{metadata}");
    }
    let lines: String = (0..1000).flat_map(|n| [n.to_string(), "\n".to_owned()]).collect();
    let replicas = brokers.to_string();
    let kq = |args: &[&str]| Kq::new(["-b", first]).args(args);
    kq(&["topic", "create", "t", "--partitions", "1", "--rf", &replicas]).run().success();
    kq(&["produce", "t"]).stdin(&lines).run().success();
    kq(&["consume", "t", "-e"]).run().success().stdout(&lines);
    Kq::program("kcat", ["-b", first, "-C", "-t", "t", "-e", "-q"]).run().success().stdout(&lines);
    // Without a replication factor a topic gets the cluster's default, a copy on each broker.
    kq(&["topic", "create", "u"]).run().success();
    let described = Kq::program("kcat", ["-b", first, "-L", "-t", "u"]).run().success();
    let ids =
        described.text().lines().filter_map(|line| line.split_once("replicas: ")?.1.split_once(", isrs"));
    let copies: Vec<_> = ids.map(|(ids, _)| ids.split(',').count()).collect();
    assert!(!copies.is_empty() && copies.iter().all(|&copies| copies == brokers), "{described}");
}

/// Starts the services that `chosen` picks, with these variables.
#[track_caller]
fn start(version: &str, variables: &[(&str, &str)], chosen: impl Fn(&Service) -> bool) -> Started {
    let services = read(&variables.iter().copied().collect::<Variables<'_>>()).0;
    let services: Vec<_> = services.into_iter().filter(|service| chosen(service)).collect();
    let mut machine = Machine::of(&services);
    let name = format!("target/kafka/compose-{}-{version}-{}", std::process::id(), variables.len());
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name);
    let mut started = Started { dir, bootstrap: String::new() };
    for (n, broker) in (1..).zip(services.iter().filter(|service| service.is_broker())) {
        let dir = started.dir.join(format!("node-{n}"));
        std::fs::create_dir_all(&dir).expect("make the node's folder");
        let mut properties = machine.properties(broker);
        properties.insert("log.dirs".into(), dir.join("data").display().to_string());
        let text: String = properties.iter().flat_map(|(name, value)| [name, "=", value, "\n"]).collect();
        std::fs::write(dir.join("server.properties"), text).expect("write server.properties");
    }
    for zookeeper in
        services.iter().filter(|service| service.environment.contains_key("ZOOKEEPER_CLIENT_PORT"))
    {
        let dir = started.dir.join("zookeeper");
        std::fs::create_dir_all(&dir).expect("make ZooKeeper's folder");
        let client_port = zookeeper.environment["ZOOKEEPER_CLIENT_PORT"].parse().expect("a port");
        let text = format!(
            "dataDir={}\nclientPortAddress={}\nclientPort={}\nadmin.enableServer=false\n",
            dir.join("data").display(),
            machine.host(&zookeeper.name),
            machine.port(client_port)
        );
        std::fs::write(dir.join("zk.properties"), text).expect("write zk.properties");
    }
    let output =
        Command::new(CLUSTER_SH).args(["run", version]).arg(&started.dir).output().expect("run cluster.sh");
    assert!(output.status.success(), "cluster.sh: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("addresses").trim().clone_into(&mut started.bootstrap);
    started
}

/// This machine in place of the containers' network.
struct Machine {
    /// Each service's address.
    hosts: BTreeMap<String, String>,
    /// Each port of the file, and the free one in its place.
    ports: BTreeMap<u16, u16>,
}

impl Machine {
    fn of(services: &[Service]) -> Self {
        let address = |(n, service): (u8, &Service)| (service.name.clone(), format!("127.0.1.{n}"));
        Self { hosts: (1..).zip(services).map(address).collect(), ports: BTreeMap::new() }
    }

    fn host(&self, name: &str) -> String {
        self.hosts.get(name).cloned().unwrap_or_else(|| name.to_owned())
    }

    fn port(&mut self, port: u16) -> u16 {
        let taken: Vec<_> = self.ports.values().copied().collect();
        *self.ports.entry(port).or_insert_with(|| free_port(&taken))
    }

    /// A broker's properties, with its hosts and ports moved to this machine.
    fn properties(&mut self, broker: &Service) -> BTreeMap<String, String> {
        let mut properties = broker.properties();
        let listeners: Vec<_> = broker
            .listeners("KAFKA_LISTENERS")
            .into_iter()
            .map(|listener| {
                // Where the engine publishes a port, the broker itself listens here.
                match broker.ports.iter().find(|port| port.target == listener.port) {
                    Some(port) => {
                        format!("{}://{}:{}", listener.name, port.host_ip, self.port(port.published))
                    }
                    None => {
                        format!(
                            "{}://{}:{}",
                            listener.name,
                            self.host(&broker.name),
                            self.port(listener.port)
                        )
                    }
                }
            })
            .collect();
        properties.insert("listeners".into(), listeners.join(","));
        let advertised: Vec<_> = broker
            .listeners("KAFKA_ADVERTISED_LISTENERS")
            .into_iter()
            .map(|listener| {
                format!("{}://{}:{}", listener.name, self.host(&listener.host), self.port(listener.port))
            })
            .collect();
        properties.insert("advertised.listeners".into(), advertised.join(","));
        for name in ["controller.quorum.voters", "zookeeper.connect"] {
            if let Some(value) = properties.get_mut(name) {
                *value = value.split(',').map(|entry| self.entry(entry)).collect::<Vec<_>>().join(",");
            }
        }
        properties
    }

    /// `1@kafka-1:29093` or `zookeeper:2181`.
    fn entry(&mut self, entry: &str) -> String {
        let (id, address) = entry.split_once('@').map_or(("", entry), |(id, address)| (id, address));
        let (host, port) = address.rsplit_once(':').expect("host:port");
        let (host, port) = (self.host(host), self.port(port.parse().expect("a port")));
        if id.is_empty() { format!("{host}:{port}") } else { format!("{id}@{host}:{port}") }
    }
}

/// A port below the ephemeral range that is free on every address of this machine.
fn free_port(taken: &[u16]) -> u16 {
    let from = 12_000 + (std::process::id() % 6_000) as u16;
    let mut candidates = (from..20_000).filter(|port| !taken.contains(port));
    candidates.find(|&port| TcpListener::bind(("0.0.0.0", port)).is_ok()).expect("a free port")
}
