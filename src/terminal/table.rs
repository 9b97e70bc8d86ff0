//! Tables for people and JSON lines for programs, as text. Pure: no clock, no IO.

use std::io::Write as _;

use anyhow::anyhow;
use serde::Serialize;
use tabwriter::TabWriter;

/// The space between two columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    Narrow,
    Wide,
}

/// A table with a header, its columns aligned at the left; cells are separated by tabs.
pub(crate) fn table(gap: Gap, header: &str, rows: impl Iterator<Item = String>) -> anyhow::Result<Vec<u8>> {
    let padding = match gap {
        Gap::Narrow => 2,
        Gap::Wide => 3,
    };
    let mut table = TabWriter::new(Vec::new()).padding(padding);
    writeln!(table, "{header}")?;
    for row in rows {
        writeln!(table, "{row}")?;
    }
    table.into_inner().map_err(|e| anyhow!("{e}"))
}

/// Each object as JSON on a line of its own.
pub(crate) fn json_lines(objects: impl Iterator<Item = impl Serialize>) -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    for object in objects {
        serde_json::to_writer(&mut text, &object)?;
        text.push(b'\n');
    }
    Ok(text)
}

/// A value that stays in its cell: control characters, such as the ends of lines, are escaped.
pub(crate) fn cell(value: &str) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    value.chars().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(gap: Gap) -> String {
        let rows = [format!("a\t{}", cell("x\ty\n")), "longer\tz".to_owned()];
        String::from_utf8(table(gap, "NAME\tVALUE", rows.into_iter()).unwrap()).unwrap()
    }

    #[test]
    fn columns_are_aligned_whatever_a_cell_holds() {
        assert_eq!(text(Gap::Narrow), "NAME    VALUE\na       x\\ty\\n\nlonger  z\n");
        assert_eq!(text(Gap::Wide), "NAME     VALUE\na        x\\ty\\n\nlonger   z\n");
    }

    #[test]
    fn each_object_has_its_line() {
        let lines = json_lines(["a", "b\n"].iter()).unwrap();
        assert_eq!(lines, b"\"a\"\n\"b\\n\"\n");
        assert!(json_lines(std::iter::empty::<u8>()).unwrap().is_empty());
    }
}
