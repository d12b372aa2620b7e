//! The operator, built with the test bed, for tests that run it as a process or in a container.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let arguments = plimsoll::cli::Arguments::parse();
    let _ = rustls::crypto::ring::default_provider().install_default();
    arguments.execute()
}
