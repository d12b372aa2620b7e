//! The command line.

fn main() {
    for definition in plimsoll::api::definitions() {
        if let Ok(yaml) = plimsoll::api::definition_yaml(&definition) {
            print!("{yaml}");
        }
    }
}
