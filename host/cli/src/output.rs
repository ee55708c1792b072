//! Writing for people: aligned tables, colour only on a terminal.

use std::fs::{self, Permissions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value as Json;

/// Writes one JSON value and a line end to standard output.
pub(crate) fn json_line(json: &Json) -> Result<()> {
    line(&json.to_string())
}

/// Writes a line to standard output. Unlike `println!` it reports a reader that has gone away.
pub(crate) fn line(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.write_all(b"\n")?;
    Ok(())
}

/// Writes a line to standard error. Unlike `eprintln!` it does not panic where nobody can read it.
macro_rules! note {
    ($($text:tt)*) => { $crate::output::write_note(format_args!($($text)*)) };
}
pub(crate) use note;

/// For [`note!`].
pub(crate) fn write_note(text: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Puts a file in place of the one at `path`, or where a link there leads. It is written aside and renamed: whoever watches the file never
/// sees half of it. What is no file, such as `/dev/null`, is written to and stays what it is.
pub(crate) fn replace_file(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, bytes).with_context(|| path.display().to_string())
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if path.metadata().is_ok_and(|there| !there.is_file()) {
        return fs::write(&path, bytes);
    }
    let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    if !folder.exists() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "there is no such folder"));
    }
    // As for any new file: less what the umask says.
    let mode = Permissions::from_mode(0o666);
    let aside = tempfile::Builder::new().permissions(mode).tempfile_in(folder);
    // The name that it was to have says nothing to anyone.
    let mut aside = aside.map_err(|error| io::Error::from(error.kind()))?;
    aside.write_all(bytes)?;
    aside.persist(&path).map(|_| ()).map_err(|error| error.error)
}

/// A table with a header; columns are as wide as their widest cell.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<S: Into<String>>(header: impl IntoIterator<Item = S>) -> Self {
        Self { rows: vec![header.into_iter().map(Into::into).collect()] }
    }

    pub(crate) fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(|cell| printable(&cell.into())).collect());
    }

    /// The table as text, every line indented by two spaces.
    pub(crate) fn text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut lines = Vec::new();
        for (index, row) in self.rows.iter().enumerate() {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            let text = format!("  {}", cells.collect::<Vec<_>>().join("  ")).trim_end().to_owned();
            lines.push(if index == 0 { dim(&text) } else { text });
        }
        lines.join("\n")
    }
}

/// Whether colours are wanted there: on a terminal, unless `NO_COLOR` says otherwise (<https://no-color.org>).
pub(crate) fn coloured(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn styled(text: &str, code: &str) -> String {
    if coloured(&io::stdout()) { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
}

/// A text that somebody else wrote, such as a chunk's title: without the characters by which it could command the terminal.
pub(crate) fn printable(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

pub(crate) fn bold(text: &str) -> String {
    styled(text, "1")
}

pub(crate) fn dim(text: &str) -> String {
    styled(text, "2")
}

pub(crate) fn green(text: &str) -> String {
    styled(text, "32")
}

pub(crate) fn red(text: &str) -> String {
    styled(text, "31")
}

/// A bar on a terminal's standard error, and nothing elsewhere.
pub(crate) fn progress(what: &str, total: usize) -> ProgressBar {
    let bar = ProgressBar::new(total as u64);
    if let Ok(style) = ProgressStyle::with_template("  {msg} {bar:40} {pos}/{len}") {
        bar.set_style(style);
    }
    bar.set_message(what.to_owned());
    bar
}

/// The first `length` characters, with an ellipsis if there are more; line ends become spaces.
pub(crate) fn shortened(text: &str, length: usize) -> String {
    let flat = printable(&text.split_whitespace().collect::<Vec<_>>().join(" "));
    if flat.chars().count() <= length {
        return flat;
    }
    let kept: String = flat.chars().take(length.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_nothing_trails() {
        let mut table = Table::new(["a", "bb"]);
        table.row(["ccc", "d"]);
        assert_eq!(table.text(), "  a    bb\n  ccc  d");
    }

    #[test]
    fn what_others_wrote_does_not_command_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\u{9b}c\n"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}");
        assert_eq!(shortened("a\n\u{1b}]0;b\u{7}", 20), "a \u{fffd}]0;b\u{fffd}");
        let mut table = Table::new(["a"]);
        table.row(["\u{1b}[31m"]);
        assert_eq!(table.text(), "  a\n  \u{fffd}[31m");
    }

    #[test]
    fn shortening_counts_characters() {
        assert_eq!(shortened("a\n b", 9), "a b");
        assert_eq!(shortened("äöüß", 3), "äö…");
    }
}
