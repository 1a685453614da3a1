//! A new file in `migrations/` is a change of the program: the macro that embeds them cannot tell Cargo.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
