//! Prints `docs/reference.md`.

fn main() {
    print!("{}", e2e::reference::page());
}
