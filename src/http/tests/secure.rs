//! TLS of a listener: its files, its clients, and what speaks something else.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use openssl::ssl::{SslConnector, SslConnectorBuilder, SslMethod, SslStream, SslVersion};
use tempfile::TempDir;

use super::certificates::{Kind, Pair};
use super::{SOON, Served, rest, serve, settings, times};
use crate::http::server::{Settings, Times};
use crate::http::tls::{Files, Tls};
use crate::terminal::notes::Log;

/// A folder of certificates, and a server that uses them.
struct Folder {
    folder: TempDir,
    files: Files,
}

impl Folder {
    /// With these texts in the files of the certificate, the key and the authorities of clients.
    fn new(certificate: &str, key: impl AsRef<[u8]>, client_ca: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let files = Files {
            certificate: path("tls.crt"),
            key: path("tls.key"),
            client_ca: client_ca.map(|_| path("ca.crt")),
        };
        fs::write(&files.certificate, certificate).unwrap();
        fs::write(&files.key, key).unwrap();
        if let Some(client_ca) = client_ca {
            fs::write(path("ca.crt"), client_ca).unwrap();
        }
        Self { folder, files }
    }

    fn of(pair: &Pair) -> Self {
        Self::new(&pair.certificate_pem(), pair.key_pem(), None)
    }

    fn tls(&self) -> anyhow::Result<Tls> {
        Tls::open(&self.files, "--listen", Log::new(true, 0))
    }

    fn error(&self) -> String {
        self.tls().err().map(|e| format!("{e:#}")).expect("an error")
    }

    fn serve(&self) -> Served {
        self.serve_with(times())
    }

    fn serve_with(&self, times: Times) -> Served {
        serve(Settings { tls: Some(self.tls().unwrap()), times, ..settings() })
    }
}

fn connector(trusts: &Pair) -> SslConnectorBuilder {
    let mut builder = SslConnector::builder(SslMethod::tls_client()).unwrap();
    builder.cert_store_mut().add_cert(trusts.certificate.clone()).unwrap();
    builder
}

fn connect(served: &Served, builder: SslConnectorBuilder) -> Result<SslStream<TcpStream>, String> {
    builder.build().connect("localhost", served.connect()).map_err(|e| e.to_string())
}

fn ask(stream: &mut SslStream<TcpStream>) -> Result<String, String> {
    let request = b"GET /a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).map_err(|e| e.to_string())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(|e| e.to_string())?;
    Ok(answer)
}

fn asked(served: &Served, builder: SslConnectorBuilder) -> Result<String, String> {
    ask(&mut connect(served, builder)?)
}

#[test]
fn a_chain_leads_clients_to_its_authority_with_and_without_a_server_name() {
    let root = Pair::new("root", Kind::Authority, None);
    let middle = Pair::new("middle", Kind::Authority, Some(&root));
    let leaf = Pair::new("leaf", Kind::Leaf, Some(&middle));
    let chain = leaf.certificate_pem() + &middle.certificate_pem();
    let served = Folder::new(&chain, leaf.key_pem(), None).serve();
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        let mut builder = connector(&root);
        builder.set_max_proto_version(Some(version)).unwrap();
        assert!(asked(&served, builder).unwrap().ends_with("GET /a "));
    }
    let without_name = connector(&root).build().configure().unwrap().use_server_name_indication(false);
    let mut stream = without_name.connect("localhost", served.connect()).unwrap();
    assert!(ask(&mut stream).unwrap().ends_with("GET /a "));
    // Its address is no server name (RFC 6066), and is in the certificate.
    let mut stream = connector(&root).build().connect("127.0.0.1", served.connect()).unwrap();
    assert!(ask(&mut stream).unwrap().ends_with("GET /a "));
}

#[test]
fn older_versions_are_refused() {
    let pair = Pair::new("localhost", Kind::Leaf, None);
    let served = Folder::of(&pair).serve();
    let mut builder = connector(&pair);
    builder.set_security_level(0);
    builder.set_min_proto_version(Some(SslVersion::TLS1)).unwrap();
    builder.set_max_proto_version(Some(SslVersion::TLS1_1)).unwrap();
    assert!(connect(&served, builder).is_err());
}

#[test]
fn the_protocol_is_http_1_1_and_nothing_else() {
    let pair = Pair::new("localhost", Kind::Leaf, None);
    let served = Folder::of(&pair).serve();
    let with = |protocols: &[u8]| {
        let mut builder = connector(&pair);
        builder.set_alpn_protos(protocols).unwrap();
        connect(&served, builder)
    };
    let stream = with(b"\x02h2\x08http/1.1").unwrap();
    assert_eq!(stream.ssl().selected_alpn_protocol(), Some(&b"http/1.1"[..]));
    assert!(with(b"\x02h2").is_err_and(|e| e.contains("no application protocol")));
    let stream = connect(&served, connector(&pair)).unwrap();
    assert_eq!(stream.ssl().selected_alpn_protocol(), None);
}

#[test]
fn a_client_shows_a_certificate_of_the_authority_or_is_refused() {
    let (own, authority) = (Pair::new("localhost", Kind::Leaf, None), Pair::new("ca", Kind::Authority, None));
    let other = Pair::new("other", Kind::Authority, None);
    let folder = Folder::new(&own.certificate_pem(), own.key_pem(), Some(&authority.certificate_pem()));
    let served = folder.serve();
    let with = |client: Option<&Pair>, version| {
        let mut builder = connector(&own);
        builder.set_max_proto_version(Some(version)).unwrap();
        if let Some(client) = client {
            builder.set_certificate(&client.certificate).unwrap();
            builder.set_private_key(&client.key).unwrap();
        }
        asked(&served, builder)
    };
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        let client = Pair::new("meter-7", Kind::Leaf, Some(&authority));
        let answer = with(Some(&client), version).unwrap();
        assert!(answer.contains("certificate: meter-7"), "{answer}");
        // TLS 1.3 has an alert of its own for this.
        let why = with(None, version).unwrap_err();
        assert!(why.contains("certificate required") || why.contains("handshake failure"), "{why}");
        let stranger = Pair::new("meter-7", Kind::Leaf, Some(&other));
        assert!(with(Some(&stranger), version).unwrap_err().contains("unknown ca"));
        let expired = Pair::new("meter-7", Kind::Expired, Some(&authority));
        assert!(with(Some(&expired), version).unwrap_err().contains("certificate expired"));
    }
    served.wait_for_connections(0);
    assert_eq!(served.server.counts().without_tls(), 6);
}

#[test]
fn new_files_are_used_for_new_connections() {
    let (old, new) = (Pair::new("old", Kind::Leaf, None), Pair::new("new", Kind::Leaf, None));
    let folder = Folder::of(&old);
    let served = folder.serve();
    let mut open = connect(&served, connector(&old)).unwrap();
    // Between the two writes they don't fit together.
    fs::write(&folder.files.certificate, new.certificate_pem()).unwrap();
    std::thread::sleep(Duration::from_millis(1100));
    assert!(asked(&served, connector(&old)).is_ok());
    fs::write(&folder.files.key, new.key_pem()).unwrap();
    let end = std::time::Instant::now() + SOON;
    while asked(&served, connector(&new)).is_err() {
        assert!(std::time::Instant::now() < end, "the new certificate is not used");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(connect(&served, connector(&old)).is_err());
    assert!(ask(&mut open).unwrap().ends_with("GET /a "), "an open connection goes on");
    drop(folder.folder);
    assert!(asked(&served, connector(&new)).is_ok(), "what was read stays");
}

#[test]
fn plain_http_is_told_to_use_https() {
    let pair = Pair::new("localhost", Kind::Leaf, None);
    let served = Folder::of(&pair).serve();
    let answer = served.whole(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("https://"), "{answer}");
    assert_eq!(served.whole(b"\0\0\0\x10\0\x12\0\0"), "");
    served.wait_for_connections(0);
    assert_eq!(served.server.counts().without_tls(), 2);
}

#[test]
fn a_handshake_that_takes_too_long_ends_the_connection() {
    let pair = Pair::new("localhost", Kind::Leaf, None);
    let folder = Folder::of(&pair);
    let served = folder.serve_with(Times { head: Duration::from_millis(300), ..times() });
    let mut stream = served.connect();
    stream.write_all(b"\x16\x03\x01\x02\x00").unwrap();
    assert_eq!(rest(&mut stream), "");
    served.wait_for_connections(0);
    // The head of a request has its own time after the handshake. A whole handshake may take longer than 300 ms.
    let served = folder.serve_with(Times { head: Duration::from_secs(2), ..times() });
    let mut stream = connect(&served, connector(&pair)).unwrap();
    std::thread::sleep(Duration::from_secs(3));
    stream.write_all(b"GET /a HTTP/1.1\r\n").unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
}

#[test]
fn a_drain_closes_idle_connections_in_tls() {
    let pair = Pair::new("localhost", Kind::Leaf, None);
    let served = Folder::of(&pair).serve();
    let mut idle = connect(&served, connector(&pair)).unwrap();
    let silent = served.connect();
    served.wait_for_connections(2);
    let draining = std::thread::spawn(move || served.drain(SOON));
    assert_eq!(idle.read(&mut [0]).unwrap(), 0, "it ends with an alert: nothing was cut off");
    drop(idle);
    drop(silent);
    assert_eq!(draining.join().unwrap(), 0);
}

#[test]
fn files_that_cannot_be_used_are_named_with_what_to_do() {
    let (pair, other) = (Pair::new("localhost", Kind::Leaf, None), Pair::new("other", Kind::Leaf, None));
    let (certificate, key) = (pair.certificate_pem(), pair.key_pem());
    for locked in pair.locked_keys() {
        let error = Folder::new(&certificate, locked, None).error();
        assert!(error.contains("has a password") && error.contains("openssl pkey"), "{error}");
    }
    for (folder, wanted) in [
        (Folder::new(&certificate, other.key_pem(), None), "is not the key of the certificate"),
        (Folder::new(&(other.certificate_pem() + &certificate), &key, None), "is not the first in"),
        (Folder::new("", &key, None), "there is no certificate in"),
        (Folder::new(&key, &key, None), "there is no certificate in"),
        (Folder::new(&certificate, &certificate, None), "there is no key in"),
        (Folder::new(&certificate.replace("MII", "AAA"), &key, None), "is broken"),
        (Folder::new(&certificate, key.replace("MI", "AA"), None), "is broken"),
        (Folder::new(&certificate, &key, Some("none")), "ca.crt"),
    ] {
        let error = folder.error();
        let named = [&folder.files.certificate, &folder.files.key]
            .into_iter()
            .chain(&folder.files.client_ca)
            .any(|path| error.contains(path.to_str().unwrap()));
        assert!(error.contains(wanted) && named, "{error}");
    }
    let none =
        Files { certificate: PathBuf::from("/nowhere"), key: PathBuf::from("/nowhere"), client_ca: None };
    let error = Tls::open(&none, "--listen", Log::new(true, 0)).err().map(|e| format!("{e:#}")).unwrap();
    assert!(error.contains("/nowhere: No such file"), "{error}");
    // Both in one file.
    let both = Folder::new(&(key.clone() + &certificate), &(key + &certificate), None);
    assert!(asked(&both.serve(), connector(&pair)).is_ok());
}
