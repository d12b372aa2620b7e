//! What the fuzz targets have in common.

use std::panic;

/// libFuzzer's own hook ends the process at any panic, also at those of the PromQL parser, which the product catches.
/// With this one only a panic that leaves the target does.
pub fn init() {
    panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
}
