//! TLS with a broker behind a TLS listener: CA certificates, client certificates, and the files that they are in.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use openssl::ssl::{SslAcceptor, SslFiletype, SslMethod, SslVerifyMode};
use openssl::x509::X509;

use crate::support::{Cluster, Kq};

/// A file of tests/fixtures/tls; `make` in that folder says what each is.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name)
}

fn path(name: &str) -> String {
    fixture(name).to_str().expect("a path in UTF-8").to_owned()
}

fn text(name: &str) -> String {
    std::fs::read_to_string(fixture(name)).expect("read a fixture")
}

/// Whether a listener demands a client certificate that its CA has signed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Clients {
    All,
    WithCertificate,
}

/// A TLS listener before the cluster, until the test's process ends: `host:port`. In the broker's answers it
/// puts its own port in the place of the broker's.
fn front(cluster: &Cluster, clients: Clients) -> String {
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).expect("an acceptor");
    acceptor.set_certificate_chain_file(fixture("server.pem")).expect("the server's certificate");
    acceptor.set_private_key_file(fixture("server.key"), SslFiletype::PEM).expect("the server's key");
    if clients == Clients::WithCertificate {
        acceptor.set_ca_file(fixture("ca.pem")).expect("the CA");
        acceptor.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
    }
    let acceptor = Arc::new(acceptor.build());
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("an address");
    let broker = cluster.brokers().to_owned();
    let (host, port) = broker.rsplit_once(':').expect("a port");
    let advertised = |port: u16| [host.as_bytes(), &u32::from(port).to_be_bytes()[..]].concat();
    let theirs = advertised(port.parse().expect("a port"));
    let own = advertised(address.port());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (acceptor, broker) = (Arc::clone(&acceptor), broker.clone());
            let (theirs, own) = (theirs.clone(), own.clone());
            std::thread::spawn(move || {
                // A client that does not trust the certificate goes away.
                let Ok(mut client) = acceptor.accept(stream) else { return };
                let mut broker = TcpStream::connect(broker).expect("the broker is there");
                // Until one of them closes: each request has an answer, and they come in order.
                let mut exchange = || {
                    broker.write_all(&frame(&mut client)?)?;
                    let mut answer = frame(&mut broker)?;
                    if let Some(at) = answer.windows(theirs.len()).position(|window| window == theirs) {
                        answer[at..at + own.len()].copy_from_slice(&own);
                    }
                    client.write_all(&answer)
                };
                while exchange().is_ok() {}
            });
        }
    });
    address.to_string()
}

/// One request or answer, with its size before it.
fn frame(from: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let mut frame = vec![0; 4];
    from.read_exact(&mut frame)?;
    let size = u32::from_be_bytes(frame[..4].try_into().expect("four bytes"));
    frame.resize(4 + size as usize, 0);
    from.read_exact(&mut frame[4..])?;
    Ok(frame)
}

/// A cluster with one topic, and its name.
fn cluster() -> (Cluster, String) {
    let cluster = Cluster::embedded();
    let topic = cluster.topic("tls");
    cluster.kq(["topic", "create", &topic, "-p", "1"]).run().success();
    (cluster, topic)
}

/// `kq topic list` at this address.
fn list(address: &str) -> Kq {
    Kq::new(["topic", "list", "-q", "--timeout", "20s", "-b", address])
}

/// `kq topic list` with a file of these properties.
fn list_with_file(address: &str, properties: &str) -> Kq {
    let kq = list(address).args(["-F", "client.properties"]);
    kq.file("client.properties", properties);
    kq
}

#[test]
fn the_stores_of_java_open_a_connection_with_a_client_certificate() {
    let (cluster, topic) = cluster();
    let address = front(&cluster, Clients::WithCertificate);
    for (trust, keys) in
        [("trust.p12", "client.p12"), ("trust-legacy.p12", "client-legacy.p12"), ("trust.jks", "client.jks")]
    {
        let properties = format!(
            "security.protocol=SSL\nssl.truststore.location={}\nssl.truststore.password=changeit\n\
             ssl.keystore.location={}\nssl.keystore.password=changeit\nssl.key.password=keypassword\n",
            path(trust),
            path(keys)
        );
        list_with_file(&address, &properties).run().success().stdout_has(&topic);
    }
    let properties = format!("security.protocol=SSL\nssl.truststore.location={}\n", path("trust-open.p12"));
    list_with_file(&address, &properties)
        .run()
        .status(2)
        .stderr_has("the broker demands a client certificate");
}

#[test]
fn pem_text_on_one_line_opens_a_connection() {
    let (cluster, topic) = cluster();
    let address = front(&cluster, Clients::WithCertificate);
    for end in [" ", "\\\n", "\n"] {
        let one = |name: &str| text(name).replace('\n', end);
        let properties = format!(
            "security.protocol=SSL\nssl.truststore.type=PEM\nssl.truststore.certificates={}\n\
             ssl.keystore.certificate.chain={}\nssl.keystore.key={}\n",
            one("ca.pem") + &one("ca.pem"),
            one("client.pem"),
            one("encrypted.key"),
        ) + "\nssl.key.password=keypassword\n";
        list_with_file(&address, &properties).run().success().stdout_has(&topic);
    }
}

#[test]
fn the_cas_of_ssl_cert_file_and_ssl_cert_dir_are_trusted_and_no_others() {
    let (cluster, topic) = cluster();
    let address = front(&cluster, Clients::All);
    let untrusted = "the broker's certificate can't be verified";
    list(&address).arg("--tls").run().status(2).stderr_has(untrusted);
    let with = |name: &str, value: &str| list(&address).arg("--tls").env(name, value);
    with("SSL_CERT_FILE", &path("ca.pem")).run().success().stdout_has(&topic);
    with("SSL_CERT_FILE", &path("client.pem")).run().status(2).stderr_has(untrusted);

    let folder = tempfile::tempdir().expect("make a folder");
    let dir = folder.path().to_str().expect("a path in UTF-8");
    with("SSL_CERT_DIR", dir).run().status(2).stderr_has("`openssl rehash`");
    with("SSL_CERT_DIR", dir).env("SSL_CERT_FILE", path("ca.pem")).run().success().stdout_has(&topic);
    let hash = X509::from_pem(text("ca.pem").as_bytes()).expect("a certificate").subject_name_hash();
    std::fs::copy(fixture("ca.pem"), folder.path().join(format!("{hash:08x}.0"))).expect("copy");
    with("SSL_CERT_DIR", dir).run().success().stdout_has(&topic);
    with("SSL_CERT_DIR", &format!("/dev:{dir}")).run().success().stdout_has(&topic);
    with("SSL_CERT_DIR", &format!("{dir}:/none")).run().success().stdout_has(&topic);
    // A CA that kq is told counts alone.
    with("SSL_CERT_FILE", &path("ca.pem"))
        .env("KQ_TLS_CA", path("client.pem"))
        .run()
        .status(2)
        .stderr_has(untrusted);
}

#[test]
fn a_key_that_can_not_be_opened_is_named_by_every_command() {
    let (cluster, topic) = cluster();
    let address = front(&cluster, Clients::WithCertificate);
    let (ca, certificate, key) = (path("ca.pem"), path("client.pem"), path("encrypted.key"));
    let connection =
        ["-b", &address, "--tls-ca", &ca, "--tls-cert", &certificate, "--tls-key", &key, "--timeout", "20s"];
    let commands: [&[&str]; 4] = [
        &["topic", "list"],
        &["produce", &topic],
        &["consume", &topic, "-e"],
        &["worker", &topic, "-g", "g", "-e", "--", "cat"],
    ];
    for command in commands {
        let kq = || Kq::new(connection).args(command);
        let named = format!("the private key {key} (--tls-key, ssl.key.location)");
        kq().run().stderr_has(&named).stderr_has("is encrypted: give its password (--tls-key-password");
        let wrong = kq().env("KQ_TLS_KEY_PASSWORD", "hunter2").run();
        let wrong = wrong.stderr_has(&named).stderr_has("the password is wrong").stderr_lacks("hunter2");
        assert_ne!(wrong.code(), 0, "{wrong}");
    }
    let right = Kq::new(connection).args(["topic", "list"]).env("KQ_TLS_KEY_PASSWORD", "keypassword");
    right.run().success().stdout_has(&topic);
}
