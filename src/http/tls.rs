//! TLS of a listener: its certificate, its key, and the authorities of its clients.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use openssl::asn1::Asn1Time;
use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{
    AlpnError, Ssl, SslAcceptor, SslContext, SslContextBuilder, SslMethod, SslMode, SslOptions,
    SslSessionCacheMode, SslVerifyMode, SslVersion, select_next_proto,
};
use openssl::x509::verify::X509VerifyFlags;
use openssl::x509::{X509, X509Ref, X509VerifyResult};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

use crate::terminal::notes::Log;
use crate::watched::Watched;

/// The only protocol over TLS, as ALPN (RFC 7301) writes a list of names.
const PROTOCOLS: &[u8] = b"\x08http/1.1";
/// With client certificates, OpenSSL asks for a name of whose sessions these are.
const SESSIONS: &[u8] = b"kq";

/// The files of a listener's TLS, in PEM.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    /// The certificate, then those that lead to its authority.
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// The authorities of clients: each connection must have a certificate of one of them.
    pub client_ca: Option<PathBuf>,
}

/// What makes TLS of a connection. The files are read again when they change: connections that are open stay as they
/// are.
#[derive(Clone)]
pub(crate) struct Tls {
    context: Arc<Watched<SslContext>>,
    flag: &'static str,
    log: Log,
}

impl Tls {
    /// Reads the files. An error says which one is wrong, and how. `flag` names the listener in notes.
    pub(crate) fn open(files: &Files, flag: &'static str, log: Log) -> Result<Self> {
        let paths = [Some(&files.certificate), Some(&files.key), files.client_ca.as_ref()];
        let paths = paths.into_iter().flatten().cloned().collect();
        let files = files.clone();
        let context = Watched::open_all(paths, move |read| {
            let [certificate, key, rest @ ..] = read else { bail!("there are too few files") };
            let authorities = files.client_ca.as_deref().zip(rest.first().map(Vec::as_slice));
            context((&files.certificate, certificate), (&files.key, key), authorities, log)
        })?;
        Ok(Self { context: Arc::new(context), flag, log })
    }

    /// A client's TLS. An error says why there is none.
    pub(super) async fn accept(&self, stream: TcpStream) -> (SslStreamOrTcp, Result<()>) {
        let Self { flag, log, .. } = *self;
        let context = self.context.get(|e| {
            log.note(format_args!("{flag}: {e:#}; the certificates that were read before stay in use"));
        });
        let made = Ssl::new(&context).and_then(|ssl| SslStream::new(ssl, stream));
        let mut stream = match made {
            Ok(stream) => Box::new(stream),
            Err(e) => return (None, Err(anyhow!("{e}"))),
        };
        let done = Pin::new(&mut *stream).accept().await;
        let done = done.map_err(|e| anyhow!("{}", why(&e, stream.ssl().verify_result())));
        (Some(stream), done)
    }
}

/// A stream, unless OpenSSL had no memory for it.
type SslStreamOrTcp = Option<Box<SslStream<TcpStream>>>;

/// Why a handshake failed, in the words of OpenSSL.
fn why(e: &openssl::ssl::Error, verified: X509VerifyResult) -> String {
    let reasons = e.ssl_error().map(ErrorStack::errors).unwrap_or_default();
    match (reasons.last().and_then(openssl::error::Error::reason), e.io_error()) {
        (Some(reason), _) if verified != X509VerifyResult::OK => {
            format!("{reason}: {}", verified.error_string())
        }
        (Some(reason), _) => reason.to_owned(),
        (None, Some(e)) => e.to_string(),
        (None, None) => "the client closed the connection".to_owned(),
    }
}

/// A name for the owner of a certificate: its common name, or the first of its other names.
pub(super) fn owner(certificate: &X509Ref) -> String {
    let common = certificate.subject_name().entries_by_nid(Nid::COMMONNAME).next();
    let common = common.and_then(|name| name.data().to_string().ok());
    let other = || {
        let names = certificate.subject_alt_names()?;
        names.iter().find_map(|name| name.dnsname().or(name.uri()).or(name.email()).map(ToOwned::to_owned))
    };
    let name = common.or_else(other).unwrap_or_default();
    // It is written to a terminal.
    name.chars().filter(|character| !character.is_control()).collect()
}

/// A file that was read.
type Read<'f> = (&'f Path, &'f [u8]);

/// What all connections share, until a file changes.
fn context(
    (certificate_path, certificate): (&PathBuf, &Vec<u8>),
    (key_path, key): (&PathBuf, &Vec<u8>),
    authorities: Option<Read<'_>>,
    log: Log,
) -> Result<SslContext> {
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    builder.set_min_proto_version(Some(SslVersion::TLS1_2))?;
    builder.set_options(SslOptions::NO_RENEGOTIATION);
    // Buffers of connections that are idle are freed.
    builder.set_mode(SslMode::RELEASE_BUFFERS);
    // Clients keep their sessions themselves, in tickets.
    builder.set_session_cache_mode(SslSessionCacheMode::OFF);
    builder.set_session_id_context(SESSIONS)?;
    builder.set_alpn_select_callback(|_, offered| {
        select_next_proto(PROTOCOLS, offered).ok_or(AlpnError::ALERT_FATAL)
    });
    let chain = certificates((certificate_path, certificate))?;
    let key = private_key((key_path, key))?;
    own(&mut builder, chain, &key, certificate_path, key_path, log)?;
    if let Some(authorities) = authorities {
        ask_for_certificates(&mut builder, authorities)?;
    }
    Ok(builder.build().into_context())
}

/// Sets the certificate, what leads to its authority, and the key.
fn own(
    builder: &mut SslContextBuilder,
    chain: Vec<X509>,
    key: &PKey<Private>,
    certificate_path: &Path,
    key_path: &Path,
    log: Log,
) -> Result<()> {
    let file = certificate_path.display();
    let belongs = |certificate: &X509| certificate.public_key().is_ok_and(|public| public.public_eq(key));
    let others = chain.iter().skip(1).any(belongs);
    let mut chain = chain.into_iter();
    let first = chain.next().with_context(|| format!("there is no certificate in {file}"))?;
    if !belongs(&first) {
        ensure!(!others, "the certificate of the key {} is not the first in {file}", key_path.display());
        bail!("the key {} is not the key of the certificate {file}", key_path.display());
    }
    if first.not_after() < Asn1Time::days_from_now(0)?.as_ref() {
        log.note(format_args!(
            "the certificate {file} was valid until {}: clients refuse it",
            first.not_after()
        ));
    }
    let refused = || format!("OpenSSL refuses the certificate {file}");
    builder.set_certificate(&first).with_context(refused)?;
    for certificate in chain {
        builder.add_extra_chain_cert(certificate).with_context(refused)?;
    }
    builder
        .set_private_key(key)
        .with_context(|| format!("OpenSSL refuses the key {}", key_path.display()))?;
    builder.check_private_key()?;
    Ok(())
}

/// Asks each client for a certificate of one of these authorities.
fn ask_for_certificates(builder: &mut SslContextBuilder, authorities: Read<'_>) -> Result<()> {
    for authority in certificates(authorities)? {
        let refused = || format!("OpenSSL refuses an authority of {}", authorities.0.display());
        builder.add_client_ca(&authority).with_context(refused)?;
        builder.cert_store_mut().add_cert(authority).with_context(refused)?;
    }
    // The authority of clients alone is enough, where it has one above it.
    builder.verify_param_mut().set_flags(X509VerifyFlags::PARTIAL_CHAIN)?;
    builder.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
    Ok(())
}

/// All certificates of a file, of which there is at least one.
fn certificates((path, pem): Read<'_>) -> Result<Vec<X509>> {
    let file = path.display();
    let found =
        X509::stack_from_pem(pem).map_err(|e| anyhow!("a certificate in {file} is broken: {}", first(&e)))?;
    ensure!(
        !found.is_empty(),
        "there is no certificate in {file}: it must hold PEM, -----BEGIN CERTIFICATE-----"
    );
    Ok(found)
}

/// The private key of a file.
fn private_key((path, pem): Read<'_>) -> Result<PKey<Private>> {
    let file = path.display();
    let mut has_password = false;
    let read = PKey::private_key_from_pem_callback(pem, |_| {
        has_password = true;
        // An empty password. Without this callback OpenSSL asks for one at the terminal.
        Ok(0)
    });
    match read {
        Ok(key) => Ok(key),
        Err(_) if has_password => bail!(
            "the key {file} has a password, which kq serve cannot ask for; \
             write it without one: openssl pkey -in {file} -out NEW"
        ),
        Err(e) if pem.windows(11).any(|bytes| bytes == b"PRIVATE KEY") => {
            bail!("the key in {file} is broken: {}", first(&e))
        }
        Err(_) => bail!("there is no key in {file}: it must hold PEM, -----BEGIN PRIVATE KEY-----"),
    }
}

/// The first reason of some of OpenSSL's errors.
fn first(e: &ErrorStack) -> String {
    e.errors().iter().find_map(openssl::error::Error::reason).unwrap_or("unknown").to_owned()
}
