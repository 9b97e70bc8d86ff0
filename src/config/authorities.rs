//! The CA certificates that the environment names for every program: `SSL_CERT_FILE` and `SSL_CERT_DIR`.

use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::environment::{Lookup, Source};
use super::{Setting, pem, property};

const FILE: &str = "SSL_CERT_FILE";
const DIR: &str = "SSL_CERT_DIR";

/// The settings for what the variables name, of the lowest rank; none where neither is set.
///
/// OpenSSL knows these variables, but librdkafka asks it for them only where it finds no CA certificates
/// of the system (`rd_kafka_ssl_set_certs`). As for OpenSSL, both may be set, and `SSL_CERT_DIR` may name
/// several folders with `:` between them, of which the files named by a hash (`openssl rehash`) count. One
/// that does not exist is passed over while another one, or the file, is left.
pub(super) fn of_environment(env: Lookup<'_>) -> anyhow::Result<Vec<Setting>> {
    let given = |name: &str| env(name).filter(|value| !value.is_empty());
    let (file, folders) = (given(FILE), given(DIR));
    let folders: Vec<&str> =
        folders.iter().flat_map(|folders| folders.split(':')).filter(|folder| !folder.is_empty()).collect();
    let setting = |origin: &str, name, value| Setting::new(Source::System, origin, property(name, value));
    let mut settings = Vec::new();
    // librdkafka takes one location, a file or a folder, and PEM text beside it.
    let mut pem = Vec::new();
    let (found, missing) = found(&folders)?;
    if let Some(missing) = missing.filter(|_| found.is_empty() && file.is_none()) {
        return Err(missing).with_context(|| format!("{DIR} {}", folders.join(":")));
    }
    let is_empty = found.iter().all(|folder| folder.files.is_empty());
    if let [folder] = &found[..] {
        if !is_empty {
            settings.push(setting(DIR, "ssl.ca.location", folder.path.to_owned()));
        }
    } else {
        for path in found.iter().flat_map(|folder| &folder.files) {
            pem.push(certificates(path).with_context(|| format!("{DIR} {}", path.display()))?);
        }
    }
    if let Some(file) = file {
        let text = certificates(Path::new(&file)).with_context(|| format!("{FILE} {file}"))?;
        if !pem::begins(&text) {
            bail!("{FILE} {file} contains no certificate in PEM form");
        }
        if is_empty {
            settings.push(setting(FILE, "ssl.ca.location", file));
        } else {
            pem.push(text);
        }
    }
    if !pem.is_empty() {
        let of_folders = if found.len() > 1 { Some(DIR) } else { None };
        let of_file = given(FILE).map(|_| FILE);
        let origin: Vec<&str> = of_file.into_iter().chain(of_folders).collect();
        settings.push(setting(&origin.join(", "), "ssl.ca.pem", pem::in_lines(&pem.concat())));
    } else if settings.is_empty() && !folders.is_empty() {
        bail!("{DIR} {}: no file in it is named by a hash (`openssl rehash` does it)", folders.join(":"));
    }
    Ok(settings)
}

/// A folder, and the files in it in which OpenSSL looks for certificates.
struct Folder<'f> {
    path: &'f str,
    files: Vec<PathBuf>,
}

/// The folders that exist, and the error of one that does not.
fn found<'f>(folders: &[&'f str]) -> anyhow::Result<(Vec<Folder<'f>>, Option<Error>)> {
    let mut found = Vec::new();
    let mut missing = None;
    for folder in folders {
        match hashed(folder) {
            Ok(files) => found.push(Folder { path: folder, files }),
            Err(e) if e.kind() == ErrorKind::NotFound => missing = Some(e),
            Err(e) => return Err(e).with_context(|| format!("{DIR} {folder}")),
        }
    }
    Ok((found, missing))
}

/// The files of a folder in which OpenSSL looks for certificates: those with a name such as `1a2b3c4d.0`.
fn hashed(folder: &str) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_hash = name.split_once('.').is_some_and(|(hash, number)| {
            hash.len() == 8
                && hash.bytes().all(|b| b.is_ascii_hexdigit())
                && !number.is_empty()
                && number.bytes().all(|b| b.is_ascii_digit())
        });
        if is_hash {
            found.push(path);
        }
    }
    Ok(found)
}

/// A file's text; what is no text is no PEM either.
fn certificates(path: &Path) -> std::io::Result<String> {
    Ok(String::from_utf8_lossy(&std::fs::read(path)?).into_owned())
}
