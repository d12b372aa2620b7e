//! What `kubectl` prints.

use std::io;
use std::path::Path;

use tokio::process::Command;
use tokio::time::timeout;

use super::DEADLINE;

/// The command and what it prints, without spaces at the ends of lines.
pub async fn print(kubectl: &Path, kubeconfig: &Path, arguments: &[&str]) -> io::Result<String> {
    let mut command = Command::new(kubectl);
    command.arg("--kubeconfig").arg(kubeconfig).args(arguments).kill_on_drop(true);
    // What it remembers of an address may be of another cluster that had the port before.
    command.env("KUBECACHEDIR", kubeconfig.with_file_name("kubectl-cache"));
    let output = timeout(DEADLINE, command.output()).await??;
    if !output.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let printed = String::from_utf8(output.stdout).map_err(io::Error::other)?;
    let lines: Vec<_> = printed.lines().map(str::trim_end).collect();
    Ok(["$ kubectl ", &arguments.join(" "), "\n", &lines.join("\n")].concat())
}
