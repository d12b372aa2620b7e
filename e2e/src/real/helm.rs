//! Helm, where it or its library is installed.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::NamedTempFile;

/// What `scripts/helm.sh` exits with where there is no Helm.
const UNAVAILABLE: i32 = 69;

/// The commands that read a file of values.
const TAKE_VALUES: [&str; 4] = ["lint", "template", "install", "upgrade"];

/// The repository's root.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Why Helm did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum HelmError {
    /// Neither Helm nor its library is installed.
    #[error("neither helm nor its library is installed (`make setup` installs the library)")]
    Missing,
    /// It cannot be run.
    #[error("scripts/helm.sh cannot be run: {0}")]
    Io(#[from] io::Error),
    /// It refused; its own words.
    #[error("{0}")]
    Refused(String),
}

/// Runs `helm`, with `values` as a file of values, and returns what it printed.
pub fn helm(arguments: &[&str], values: &str) -> Result<String, HelmError> {
    let mut file = NamedTempFile::new()?;
    file.write_all(values.as_bytes())?;
    let mut command = Command::new(repository().join("scripts/helm.sh"));
    command.args(arguments).stdin(Stdio::null());
    if arguments.first().is_some_and(|command| TAKE_VALUES.contains(command)) {
        command.arg("--values").arg(file.path());
    }
    let output = command.current_dir(repository()).output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    if output.status.code() == Some(UNAVAILABLE) {
        return Err(HelmError::Missing);
    }
    let words = [output.stdout, output.stderr].concat();
    Err(HelmError::Refused(String::from_utf8_lossy(&words).trim().to_owned()))
}
