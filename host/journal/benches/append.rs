//! How fast entries are appended and replayed.

fn main() {
    divan::main();
}
