//! The progress bar of `kq produce`, on a pseudo-terminal of a known width.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use crate::support::Cluster;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// A pseudo-terminal: its controlling end, and the path of the other.
pub(crate) fn terminal(columns: u16) -> (OwnedFd, PathBuf) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("open a pseudo-terminal");
    grantpt(&terminal).and_then(|()| unlockpt(&terminal)).expect("let it be opened");
    let size = Winsize { ws_col: columns, ws_row: 24, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&terminal, size).expect("set its size");
    let name = ptsname(&terminal, Vec::new()).expect("its name");
    (terminal, OsStr::from_bytes(name.as_bytes()).into())
}

/// What `sh -c LINE` draws on the terminal `$TTY`, each picture of the line by itself, without control sequences.
fn drawn(cluster: &Cluster, columns: u16, line: &str, input: &str) -> Vec<String> {
    let (terminal, path) = terminal(columns);
    let held = OpenOptions::new().read(true).write(true).open(&path).expect("open its other end");
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // It ends with an error (EIO) when the other end is closed.
        let _ = File::from(terminal).read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let kq = cluster.program("sh", ["-c", line]).env("TTY", &path).env("TERM", "xterm");
    kq.file("input", input);
    kq.run().success();
    drop(held);
    let text = reader.join().expect("the reader");
    let control = regex::Regex::new("\x1b\\[[0-9;?]*[A-Za-z]").expect("a pattern");
    let pictures = text.split(['\r', '\n']).map(|line| control.replace_all(line, "").trim_end().to_owned());
    // The summary is not the bar's.
    pictures.filter(|line| !line.is_empty() && !line.starts_with("kq: ")).collect()
}

#[test]
fn the_bar_counts_what_was_queued_and_is_never_wider_than_the_terminal() {
    let cluster = Cluster::get();
    let topic = cluster.create("bar", 1);
    let input = "a line of forty bytes, the newline too.\n".repeat(3000);
    for shape in ["", "-k key"] {
        for columns in [40, 80] {
            // A tenth of the file, in a second.
            let line = format!("kq produce {topic} input {shape} --rate 300 -n 300 2>$TTY");
            let drawn = drawn(&cluster, columns, &line, &input);
            assert!(drawn.len() > 2, "{drawn:?}");
            let percents: Vec<u32> = drawn
                .iter()
                .filter_map(|picture| picture.split_once('%')?.0.rsplit(' ').next()?.parse().ok())
                .collect();
            assert_eq!(percents.len(), drawn.len(), "{drawn:?}");
            assert!(percents.iter().all(|percent| *percent <= 10), "{drawn:?}");
            assert!(percents.iter().any(|percent| *percent > 2), "{drawn:?}");
            for picture in &drawn {
                assert!(picture.chars().count() <= columns.into(), "{columns}: {picture}");
                assert_eq!(picture.contains(" ETA "), columns == 80, "{picture}");
            }
        }
    }
}

#[test]
fn an_input_without_a_size_has_a_line_that_fits_too() {
    let cluster = Cluster::get();
    let topic = cluster.create("spinner", 1);
    for columns in [24, 80] {
        let line = format!("cat input | kq produce {topic} --rate 300 -n 300 2>$TTY");
        let drawn = drawn(&cluster, columns, &line, &"x\n".repeat(300));
        assert!(drawn.iter().any(|picture| picture.contains("records")), "{drawn:?}");
        for picture in &drawn {
            assert!(picture.chars().count() <= columns.into(), "{columns}: {picture}");
        }
    }
}
