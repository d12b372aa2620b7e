//! Container images, as archives that containerd imports.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;
use tempfile::TempDir;

/// What pods that need no more than a shell run: `localhost/busybox:test`, busybox alone.
pub const BUSYBOX: &str = "localhost/busybox:test";
/// What keeps a pod's namespaces.
pub(super) const PAUSE: &str = "localhost/pause:test";

/// Writes both images, of the static `busybox`, into `directory`.
pub(super) fn write_busybox(busybox: &Path, directory: &Path) -> io::Result<()> {
    let root = tempfile::tempdir()?;
    fs::create_dir(root.path().join("bin"))?;
    fs::copy(busybox, root.path().join("bin/busybox"))?;
    for program in ["sh", "sleep", "httpd", "mkdir", "rm"] {
        std::os::unix::fs::symlink("busybox", root.path().join("bin").join(program))?;
    }
    archive(&root, BUSYBOX, &["/bin/sh"], &directory.join("busybox.tar"))?;
    archive(&root, PAUSE, &["/bin/sleep", "2147483647"], &directory.join("pause.tar"))
}

/// An archive as `docker save` writes it, of one layer.
fn archive(root: &TempDir, name: &str, entrypoint: &[&str], target: &Path) -> io::Result<()> {
    let parts = tempfile::tempdir()?;
    let part = |name: &str| parts.path().join(name);
    tar(root.path(), &["."], &part("layer.tar"))?;
    let configuration = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": {"Entrypoint": entrypoint, "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", digest(&part("layer.tar"))?)]},
    });
    fs::write(part("config.json"), configuration.to_string())?;
    let manifest = json!([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]);
    fs::write(part("manifest.json"), manifest.to_string())?;
    tar(parts.path(), &["manifest.json", "config.json", "layer.tar"], target)
}

fn tar(directory: &Path, names: &[&str], target: &Path) -> io::Result<()> {
    run(Command::new("tar")
        .args(["--create", "--owner=0", "--group=0"])
        .arg("--file")
        .arg(target)
        .arg("--directory")
        .arg(directory)
        .args(names))
    .map(drop)
}

fn digest(file: &Path) -> io::Result<String> {
    let output = run(Command::new("sha256sum").arg(file))?;
    Ok(output.split_whitespace().next().unwrap_or_default().to_owned())
}

/// Builds the operator's own image of the program `binary` with `scripts/image.sh`, as `name`, into `directory`, and
/// returns what the script says of it.
pub(super) fn write_operator(
    script: &Path,
    binary: &Path,
    name: &str,
    directory: &Path,
) -> io::Result<String> {
    let archive: PathBuf = directory.join("operator.tar");
    let said = run(Command::new(script).env("BINARY", binary).env("IMAGE", name).env("ARCHIVE", archive))?;
    Ok(said.lines().last().unwrap_or_default().to_owned())
}

fn run(command: &mut Command) -> io::Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(io::Error::other(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim())))
}
