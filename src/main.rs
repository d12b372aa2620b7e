//! The command line.

use std::process::ExitCode;

use plimsoll::cli::Arguments;

/// musl's own takes one lock for all threads, and keeps what it freed.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // One provider for all of TLS; a second one would make both refuse to choose. It fails only if there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Arguments::run(std::env::args_os())
}
