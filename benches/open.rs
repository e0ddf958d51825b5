//! How long a house with a million accounts takes to open, against one with ten:
//! `cargo bench --bench open`.

mod house;

use std::{path::Path, time::Instant};

use gatelodge::domain::{Clock, Core};
use rusqlite::Connection;
use tempfile::TempDir;

const FEW: u32 = 10;
const MANY: u32 = 1_000_000;
const ROUNDS: usize = 21;

async fn opened(folder: &Path) -> Core {
    Core::open(house::settings(folder), Clock::real()).await.expect("a house")
}

async fn settled(accounts: u32) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    drop(opened(folder.path()).await);
    let file = Connection::open(folder.path().join("gatelodge.db")).expect("the database");
    file.execute(house::ACCOUNTS, [accounts]).expect("accounts");
    file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("a checkpoint");
    folder
}

async fn milliseconds(folder: &Path) -> f64 {
    let start = Instant::now();
    let core = opened(folder).await;
    let passed = house::seconds_since(start) * 1000.0;
    drop(core);
    passed
}

#[tokio::main]
async fn main() {
    let (few, many) = (settled(FEW).await, settled(MANY).await);
    let (mut of_few, mut of_many, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    // In turns, so that whatever else the machine does meets both.
    for _ in 0..ROUNDS {
        let (a, b) = (milliseconds(few.path()).await, milliseconds(many.path()).await);
        of_few.push(a);
        of_many.push(b);
        ratios.push(b / a);
    }
    println!("opening a house, the median of {ROUNDS}; {}", house::machine());
    println!("{FEW:>9} accounts {:>8.2} ms", house::median(of_few));
    println!("{MANY:>9} accounts {:>8.2} ms", house::median(of_many));
    println!("    ratio          {:>8.2}", house::median(ratios));
}
