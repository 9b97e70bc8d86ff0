//! The CA certificates that the environment names for every program: `SSL_CERT_FILE` and `SSL_CERT_DIR`.

use std::path::Path;

use anyhow::{Context as _, bail};

use super::environment::{Lookup, Source};
use super::{Setting, pem, property};

const FILE: &str = "SSL_CERT_FILE";
const DIR: &str = "SSL_CERT_DIR";

/// The settings for what the variables name, of the lowest rank; none where neither is set.
///
/// OpenSSL knows these variables, but librdkafka asks it for them only where it finds no CA certificates
/// of the system (`rd_kafka_ssl_set_certs`). As for OpenSSL, both may be set, and `SSL_CERT_DIR` may name
/// several folders with `:` between them, of which the files named by a hash (`openssl rehash`) count.
pub(super) fn of_environment(env: Lookup<'_>) -> anyhow::Result<Vec<Setting>> {
    let given = |name: &str| env(name).filter(|value| !value.is_empty());
    let (file, folders) = (given(FILE), given(DIR));
    let folders: Vec<&str> =
        folders.iter().flat_map(|folders| folders.split(':')).filter(|folder| !folder.is_empty()).collect();
    let setting = |origin: &str, name, value| Setting::new(Source::System, origin, property(name, value));
    let mut settings = Vec::new();
    // librdkafka takes one location, a file or a folder, and PEM text beside it.
    let mut pem = Vec::new();
    if let [folder] = folders[..] {
        std::fs::read_dir(folder).with_context(|| format!("{DIR} {folder}"))?;
        settings.push(setting(DIR, "ssl.ca.location", folder.to_owned()));
    } else {
        for folder in &folders {
            pem.extend(hashed(folder)?);
        }
    }
    if let Some(file) = file {
        let text = certificates(Path::new(&file)).with_context(|| format!("{FILE} {file}"))?;
        if !pem::begins(&text) {
            bail!("{FILE} {file} contains no certificate in PEM form");
        }
        if folders.is_empty() {
            settings.push(setting(FILE, "ssl.ca.location", file));
        } else {
            pem.push(text);
        }
    }
    if !pem.is_empty() {
        let origin = if given(FILE).is_none() { DIR.to_owned() } else { format!("{FILE}, {DIR}") };
        let origin = if folders.len() == 1 { FILE.to_owned() } else { origin };
        settings.push(setting(&origin, "ssl.ca.pem", pem::in_lines(&pem.concat())));
    } else if settings.is_empty() && !folders.is_empty() {
        bail!("{DIR} {}: no file in it is named by a hash (`openssl rehash` does it)", folders.join(":"));
    }
    Ok(settings)
}

/// The certificates of a folder that OpenSSL would find: in files with a name such as `1a2b3c4d.0`.
fn hashed(folder: &str) -> anyhow::Result<Vec<String>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("{DIR} {folder}"))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("{DIR} {folder}"))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_hash = name.split_once('.').is_some_and(|(hash, number)| {
            hash.len() == 8
                && hash.bytes().all(|b| b.is_ascii_hexdigit())
                && !number.is_empty()
                && number.bytes().all(|b| b.is_ascii_digit())
        });
        if is_hash {
            found.push(certificates(&path).with_context(|| format!("{DIR} {}", path.display()))?);
        }
    }
    Ok(found)
}

/// A file's text; what is no text is no PEM either.
fn certificates(path: &Path) -> std::io::Result<String> {
    Ok(String::from_utf8_lossy(&std::fs::read(path)?).into_owned())
}
