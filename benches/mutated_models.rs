//! A million models whose bytes were changed at random: none makes the reader panic, or allocate more
//! than twice the bytes that it is given (and a page).
//!
//! `cargo bench -p genias --bench mutated_models -- 1000000 7`: how many, and the seed.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../tests/pipeline/common/mod.rs"]
mod common;

use common::{bytes::Noting, mutation};

#[global_allocator]
static ALLOCATOR: Noting = Noting;

fn main() {
    let mut numbers = std::env::args().filter_map(|text| text.parse().ok());
    let count = numbers.next().unwrap_or(1_000_000);
    let began = std::time::Instant::now();
    let outcome = mutation::run(count as usize, numbers.next().unwrap_or(0));
    println!("{count} models in {:.0?}: {outcome:?}", began.elapsed());
}
