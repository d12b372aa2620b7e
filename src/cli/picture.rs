//! Charts as a PNG, by a converter that is installed: a renderer of our own, with its fonts, would add thirty crates to a
//! program that may write to clusters.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

/// Converters with the arguments that make them read an SVG from standard input and write a PNG to standard output, with
/// two pixels for each unit.
const CONVERTERS: [(&str, &[&str]); 2] =
    [("rsvg-convert", &["--zoom", "2"]), ("resvg", &["--zoom", "2", "-", "-c"])];
/// What each PNG begins with.
const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Writes an SVG as a PNG.
pub(super) fn write_png(path: &Path, svg: &str) -> Result<(), String> {
    for (converter, arguments) in CONVERTERS {
        match converted(converter, arguments, svg) {
            Ok(png) => {
                return std::fs::write(path, png)
                    .map_err(|error| format!("{} cannot be written: {error}", path.display()));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(format!("{converter} made no PNG: {error}")),
        }
    }
    Err("--png needs a converter: install rsvg-convert (package librsvg2-bin, librsvg2-tools or librsvg) or resvg, or write --svg".to_owned())
}

fn converted(converter: &str, arguments: &[&str], svg: &str) -> io::Result<Vec<u8>> {
    let mut child = Command::new(converter)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let stdin = child.stdin.take();
    let output = std::thread::scope(|scope| {
        // One that gives up early closes its end, and says why.
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(svg.as_bytes())));
        child.wait_with_output()
    })?;
    if output.status.success() && output.stdout.starts_with(SIGNATURE) {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim().chars().take(500).collect::<String>();
    Err(io::Error::other(if said.is_empty() { output.status.to_string() } else { said }))
}
