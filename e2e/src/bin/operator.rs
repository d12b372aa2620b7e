//! `plimsoll` as a program of its own, for tests that stop and kill it.

use std::process::ExitCode;

fn main() -> ExitCode {
    // An error means that somebody chose before us, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    plimsoll::cli::Arguments::run(std::env::args_os())
}
