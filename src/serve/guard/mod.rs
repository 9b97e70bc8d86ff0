//! Who may publish to which topic: tokens, signatures, client certificates, and which pages of browsers.
//!
//! Any one of what is configured for a topic is enough. A signature that is there and wrong is refused all the same:
//! its sender means it to be checked.

mod access;
mod browsers;
mod secrets;
mod signature;
mod start;
mod tokens;

use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context as _;
use hyper::header::CONTENT_ENCODING;
use hyper::{HeaderMap, StatusCode};

use super::problem::Problem;
use super::settings::{Scheme, Security, Topic};
use crate::terminal::notes::Log;
use crate::watched::Watched;
use access::{Access, Asked, Shown};
pub(crate) use browsers::Headers;
use browsers::{Browsers, Care};
use secrets::Secrets;
use tokens::{Found, Tokens};

/// What the endpoint asks of a request before it publishes its records.
pub(crate) struct Guard {
    tokens: Option<Watched<Tokens>>,
    signers: Vec<Signer>,
    topics: Vec<Guarded>,
    browsers: Browsers,
    is_loopback: bool,
    no_auth: bool,
    /// A client certificate counts alone.
    certificate: bool,
    log: Log,
}

/// A topic, and what is configured for it.
struct Guarded {
    name: Arc<str>,
    asked: Asked,
    /// The headers of its signatures, for errors.
    signatures: String,
}

/// Who signs requests for a topic, or for all.
struct Signer {
    topic: Option<usize>,
    scheme: Scheme,
    secrets: Watched<Secrets>,
}

/// A request that is let in, if its signatures are right.
#[derive(Debug)]
pub(crate) struct Pass {
    /// The name of its token, for the log.
    pub who: Option<Arc<str>>,
    topic: usize,
    /// Of headers that are there: each must be right.
    signatures: Vec<Scheme>,
}

impl Guard {
    /// Reads the files, and refuses settings with which a topic would be open by accident.
    pub(crate) fn open(
        settings: &Security,
        topics: &[Topic],
        listen_is_loopback: bool,
        log: Log,
    ) -> anyhow::Result<Self> {
        let browsers = Browsers::new(&settings.cors_origins, &settings.allow_hosts)?;
        let guarded: Vec<_> =
            topics.iter().enumerate().map(|(at, topic)| guarded(settings, at, topic)).collect();
        start::check_open(
            settings,
            guarded.iter().map(|topic| (&*topic.name, topic.asked)),
            listen_is_loopback,
        )?;
        let tokens = settings.token_file.as_deref().map(|path| Watched::open(path, Tokens::parse));
        let tokens = tokens.transpose().context("--token-file")?;
        let signers = settings.webhooks.iter().map(|webhook| {
            let scheme = webhook.scheme.clone();
            let secrets = Watched::open(&webhook.secrets, move |bytes| Secrets::parse(bytes, &scheme));
            let secrets = secrets.context("--webhook")?;
            Ok(Signer { topic: webhook.topic, scheme: webhook.scheme.clone(), secrets })
        });
        let guard = Self {
            signers: signers.collect::<anyhow::Result<_>>()?,
            tokens,
            topics: guarded,
            browsers,
            is_loopback: listen_is_loopback,
            no_auth: settings.no_auth,
            certificate: counts_alone(settings),
            log,
        };
        start::check_closed(settings, &guard.closed(), listen_is_loopback, log)?;
        start::note_modes(settings, log);
        Ok(guard)
    }

    /// Decides before the body is read, by the headers: what is missing then is refused without a byte of the body.
    ///
    /// `tls_client` is whether the connection has a client certificate that was verified.
    pub(crate) fn before_body(
        &self,
        topic: usize,
        headers: &HeaderMap,
        tls_client: bool,
    ) -> Result<Pass, Problem> {
        let Guarded { name, asked, signatures: names } = &self.topics[topic];
        let signatures = self.schemes_in(topic, headers);
        let shown = Shown {
            token: self.token(headers, Some(name)),
            signature: !signatures.is_empty(),
            certificate: tls_client,
        };
        let access = access::decide(name, *asked, shown, names)?;
        self.check_browser(headers, &access)?;
        if !signatures.is_empty() && headers.get_all(CONTENT_ENCODING).iter().any(|value| value != "identity")
        {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "signed_encoding",
                "a signed body is encoded",
                "the request has a signature and a Content-Encoding: whether the body was signed before it was \
                 encoded or after is not defined",
            ));
        }
        let who = if let Access::Token(name) = access { name } else { None };
        Ok(Pass { who, topic, signatures })
    }

    /// Checks the signatures over the body as it was received.
    pub(crate) fn signature(
        &self,
        pass: &Pass,
        headers: &HeaderMap,
        body: &[u8],
        now: SystemTime,
    ) -> Result<(), Problem> {
        for scheme in &pass.signatures {
            let signers = self.signers_of(pass.topic).filter(|signer| signer.scheme == *scheme);
            let secrets: Vec<_> = signers.map(|signer| signer.secrets.get(|e| self.note(&e))).collect();
            signature::check(scheme, headers, body, &secrets, now).map_err(access::bad_signature)?;
        }
        Ok(())
    }

    /// Whether a request may read `/metrics` on the listener of the topics: on loopback, with a token for any topic,
    /// with a client certificate where that counts alone, or where the topics need nothing of these.
    pub(crate) fn metrics(&self, headers: &HeaderMap, tls_client: bool) -> Result<(), Problem> {
        if self.is_loopback {
            return self.browsers.check_host(headers);
        }
        if self.tokens.is_none() && (self.no_auth || (self.certificate && tls_client)) {
            return Ok(());
        }
        match self.token(headers, None) {
            Found::Allowed(_) => Ok(()),
            _ if self.tokens.is_some() => Err(access::unauthorized(
                "/metrics needs a token, or a listener of its own (--metrics)".to_owned(),
            )),
            _ => {
                let detail =
                    "/metrics needs a listener of its own (--metrics), or a file of tokens (--token-file)";
                Err(access::forbidden("forbidden", detail))
            }
        }
    }

    /// What the answer to a preflight of CORS for a topic has (`OPTIONS`, status 204) besides [`Guard::cors`], or `None`
    /// where the request is not one.
    pub(crate) fn preflight(&self, topic: usize, headers: &HeaderMap) -> Result<Option<Headers>, Problem> {
        if self.is_loopback && self.topics[topic].asked.is_nothing() {
            self.browsers.check_host(headers)?;
        }
        self.browsers.preflight(headers)
    }

    /// What CORS adds to each answer for a path of topics, whatever its status: a page could not read it otherwise.
    pub(crate) fn cors(&self, headers: &HeaderMap) -> Headers {
        self.browsers.answer(headers)
    }

    /// Refuses a browser's request that its page should not send.
    fn check_browser(&self, headers: &HeaderMap, access: &Access) -> Result<(), Problem> {
        if self.is_loopback && *access == Access::Open {
            self.browsers.check_host(headers)?;
        }
        let care = if access.is_ambient() { Care::Always } else { Care::IfListed };
        self.browsers.check_origin(headers, care)
    }

    /// What the token of a request is worth for a topic, or for any.
    fn token(&self, headers: &HeaderMap, topic: Option<&str>) -> Found {
        let Some(tokens) = &self.tokens else { return Found::Missing };
        tokens.get(|e| self.note(&e)).of_request(headers, topic)
    }

    /// The schemes of a topic whose header is in a request.
    fn schemes_in(&self, topic: usize, headers: &HeaderMap) -> Vec<Scheme> {
        let mut schemes = Vec::new();
        for signer in self.signers_of(topic) {
            if signature::is_in(headers, &signer.scheme) && !schemes.contains(&signer.scheme) {
                schemes.push(signer.scheme.clone());
            }
        }
        schemes
    }

    fn signers_of(&self, topic: usize) -> impl Iterator<Item = &Signer> {
        self.signers.iter().filter(move |signer| signer.topic.is_none_or(|other| other == topic))
    }

    /// The topics to which nobody can publish.
    fn closed(&self) -> Vec<&str> {
        let Some(tokens) = &self.tokens else { return Vec::new() };
        let tokens = tokens.get(|e| self.note(&e));
        let closed = self.topics.iter().filter(|topic| !topic.asked.signature && !tokens.is_for(&topic.name));
        closed.map(|topic| &*topic.name).collect()
    }

    /// A file that changed and can't be used.
    fn note(&self, e: &anyhow::Error) {
        self.log.note(format_args!("{e:#}: what it said before still counts"));
    }
}

/// Whether a client certificate counts alone.
fn counts_alone(settings: &Security) -> bool {
    settings.token_file.is_none() && settings.https.as_ref().is_some_and(|https| https.client_ca.is_some())
}

/// What is configured for a topic.
fn guarded(settings: &Security, at: usize, topic: &Topic) -> Guarded {
    let webhooks = settings.webhooks.iter().filter(|webhook| webhook.topic.is_none_or(|other| other == at));
    let mut names: Vec<String> = Vec::new();
    for name in webhooks.map(|webhook| signature::header_name(&webhook.scheme)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let asked = Asked {
        token: settings.token_file.is_some(),
        signature: !names.is_empty(),
        certificate: counts_alone(settings),
    };
    Guarded { name: Arc::clone(&topic.name), asked, signatures: names.join(" or ") }
}

#[cfg(test)]
mod tests;
