//! What is refused or noted at the start, before anyone can send.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::bail;

use super::access::Asked;
use crate::serve::settings::Security;
use crate::terminal::notes::Log;

/// Refuses a topic that would be open to the network by accident.
pub(super) fn check_open<'a>(
    settings: &Security,
    topics: impl Iterator<Item = (&'a str, Asked)>,
    listen_is_loopback: bool,
) -> anyhow::Result<()> {
    if settings.no_auth {
        return Ok(());
    }
    if settings.cors_origins.iter().any(|origin| origin == "*") {
        bail!(
            "--cors-origin '*' lets each page of each browser send: name the origins, or give --no-auth too"
        );
    }
    let open: Vec<_> = topics.filter(|(_, asked)| asked.is_nothing()).map(|(name, _)| name).collect();
    if !listen_is_loopback && !open.is_empty() {
        bail!(
            "anyone who reaches --listen could publish to {}: give --token-file, --webhook or --https-client-ca, \
             listen on 127.0.0.1, or allow it with --no-auth",
            open.join(", ")
        );
    }
    Ok(())
}

/// Refuses a topic to which nobody can publish, where the file of tokens was meant to say who can. Where anyone could
/// without that file, it is a note.
pub(super) fn check_closed(
    settings: &Security,
    closed: &[&str],
    listen_is_loopback: bool,
    log: Log,
) -> anyhow::Result<()> {
    if closed.is_empty() {
        return Ok(());
    }
    let what =
        format!("--token-file: no token is for topic {}: nobody could publish to it", closed.join(", "));
    if !listen_is_loopback && !settings.no_auth {
        bail!("{what}");
    }
    log.note(what);
    Ok(())
}

/// Says which files of secrets others can read. Mounted secrets often are so: it is no error.
pub(super) fn note_modes(settings: &Security, log: Log) {
    let tokens = settings.token_file.iter();
    let secrets = settings.webhooks.iter().map(|webhook| &webhook.secrets);
    let keys = settings.https.iter().map(|https| &https.key);
    let mut told: Vec<&Path> = Vec::new();
    for path in tokens.chain(secrets).chain(keys) {
        if others_can_read(path) && !told.contains(&path.as_path()) {
            told.push(path);
            log.note(format_args!("{}: each user of this machine can read it (chmod 600)", path.display()));
        }
    }
}

fn others_can_read(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o004 != 0)
}
