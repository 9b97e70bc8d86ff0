//! An input that a child sees whole or not at all: a file that no name leads to.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};

/// A file that holds these bytes and is at its start. Its memory or its place on the disk is free again when the
/// last descriptor is closed.
pub(crate) fn whole(bytes: &[u8]) -> io::Result<File> {
    let mut file = nameless()?;
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}

fn nameless() -> io::Result<File> {
    // In memory. Where the kernel or a sandbox refuses that, on the disk.
    #[cfg(target_os = "linux")]
    if let Ok(file) = rustix::fs::memfd_create("kq-batch", rustix::fs::MemfdFlags::CLOEXEC) {
        return Ok(file.into());
    }
    unlinked()
}

fn unlinked() -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let path = std::env::temp_dir().join(format!("kq-batch-{}", uuid::Uuid::new_v4()));
    // It has a name for a moment, in a folder that others may read.
    let file = File::options().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn a_file_holds_all_and_is_at_its_start() {
        let bytes = vec![b'x'; 3_000_000];
        let mut read = Vec::new();
        whole(&bytes).unwrap().read_to_end(&mut read).unwrap();
        assert!(read == bytes);
    }

    #[test]
    fn a_file_on_the_disk_has_no_name_either_and_is_nobody_elses() {
        use std::os::unix::fs::MetadataExt as _;
        let metadata = unlinked().unwrap().metadata().unwrap();
        assert_eq!((metadata.nlink(), metadata.mode() & 0o777), (0, 0o600));
    }
}
