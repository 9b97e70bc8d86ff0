//! The binary: everything is in the library, `kq::main` is the program.

fn main() {
    kq::main()
}
