//! Stores that this machine's keytool writes, against a broker of Apache Kafka that demands a client certificate.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::Kq;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const PASSWORD: &str = "changeit";

/// A broker with a TLS listener, and the stores of both sides; stopped when dropped.
struct Started {
    dir: PathBuf,
    bootstrap: String,
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = Command::new(cluster_sh()).arg("down").arg(&self.dir).status();
    }
}

fn cluster_sh() -> PathBuf {
    Path::new(ROOT).join("tests/kafka/cluster.sh")
}

/// What keytool calls a kind of store, and the flag that makes it.
const KINDS: [(&str, &[&str]); 3] = [
    ("pkcs12", &["-storetype", "PKCS12"]),
    ("legacy", &["-storetype", "PKCS12", "-J-Dkeystore.pkcs12.legacy"]),
    ("jks", &["-storetype", "JKS"]),
];

#[test]
fn records_go_in_and_out_with_each_kind_of_store() {
    let started = start();
    for (kind, _) in KINDS {
        let properties = format!(
            "bootstrap.servers={}\nsecurity.protocol=SSL\nssl.truststore.location={1}/trust.{kind}\n\
             ssl.truststore.password={PASSWORD}\nssl.keystore.location={1}/client.{kind}\n\
             ssl.keystore.password={PASSWORD}\nssl.key.password={PASSWORD}\n",
            started.bootstrap,
            started.dir.display()
        );
        let kq = |args: &[&str]| {
            let kq = Kq::new(["-F", "client.properties"]).args(args);
            kq.file("client.properties", &properties);
            kq
        };
        kq(&["topic", "create", kind, "--partitions", "1"]).run().success();
        kq(&["produce", kind]).stdin("a\nb\n").run().success();
        kq(&["consume", kind, "-e"]).run().success().stdout("a\nb\n");
    }
}

/// Runs keytool in the folder of the stores.
#[track_caller]
fn keytool(dir: &Path, args: &[&str]) {
    let output = Command::new("keytool").current_dir(dir).args(args).output().expect("run keytool");
    assert!(output.status.success(), "keytool {args:?}: {}", String::from_utf8_lossy(&output.stdout));
}

/// A self-signed key in a store of its own, and its certificate in a trust store.
fn identity(dir: &Path, store: &str, trust: &str, kind: &[&str]) {
    let pass = ["-storepass", PASSWORD, "-keypass", PASSWORD];
    let names = ["-dname", "CN=localhost", "-ext", "san=dns:localhost,ip:127.0.0.1", "-keyalg", "RSA"];
    keytool(dir, &[&["-genkeypair", "-alias", store, "-keystore", store], &names[..], &pass, kind].concat());
    let certificate = format!("{store}.pem");
    let out = ["-exportcert", "-rfc", "-alias", store, "-keystore", store, "-file", &certificate];
    keytool(dir, &[&out[..], &pass[..2]].concat());
    let into = ["-importcert", "-noprompt", "-alias", store, "-file", &certificate, "-keystore", trust];
    keytool(dir, &[&into[..], &pass[..2]].concat());
}

#[track_caller]
fn start() -> Started {
    let dir = Path::new(ROOT).join(format!("target/kafka/stores-{}", std::process::id()));
    let node = dir.join("node-1");
    std::fs::create_dir_all(&node).expect("make the node's folder");
    let mut started = Started { dir: dir.clone(), bootstrap: String::new() };
    for (kind, flags) in KINDS {
        identity(&dir, &format!("client.{kind}"), "clients.p12", flags);
    }
    identity(&dir, "server.p12", "trust.pkcs12", KINDS[0].1);
    for (kind, flags) in &KINDS[1..] {
        let trust = format!("trust.{kind}");
        let into = ["-importcert", "-noprompt", "-file", "server.p12.pem", "-keystore", &trust];
        keytool(&dir, &[&into[..], &["-storepass", PASSWORD], flags].concat());
    }
    let ports = [(); 3].map(|()| std::net::TcpListener::bind("127.0.0.1:0").expect("bind"));
    let [tls, plain, controller] = ports.each_ref().map(|port| port.local_addr().expect("an address").port());
    drop(ports);
    let properties = format!(
        "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@localhost:{controller}\n\
         controller.listener.names=CONTROLLER\ninter.broker.listener.name=PLAIN\n\
         listeners=TLS://localhost:{tls},PLAIN://localhost:{plain},CONTROLLER://localhost:{controller}\n\
         advertised.listeners=TLS://localhost:{tls},PLAIN://localhost:{plain}\n\
         listener.security.protocol.map=TLS:SSL,PLAIN:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
         ssl.keystore.location={0}/server.p12\nssl.keystore.password={PASSWORD}\n\
         ssl.truststore.location={0}/clients.p12\nssl.truststore.password={PASSWORD}\nssl.client.auth=required\n\
         offsets.topic.replication.factor=1\nlog.dirs={0}/node-1/data\n",
        dir.display()
    );
    std::fs::write(node.join("server.properties"), properties).expect("write server.properties");
    let output =
        Command::new(cluster_sh()).args(["run", "4.1.0"]).arg(&dir).output().expect("run cluster.sh");
    assert!(output.status.success(), "cluster.sh: {}", String::from_utf8_lossy(&output.stderr));
    started.bootstrap = format!("localhost:{tls}");
    started
}
