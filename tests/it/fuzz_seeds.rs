//! The seeds of the fuzz targets, through the same entries: what fuzzing calls does not rot, and what
//! it found once stays found.

use std::{
    fs,
    time::{Duration, Instant},
};

#[path = "../fuzz/entries.rs"]
mod entries;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz");

fn names(folder: &str) -> Vec<String> {
    let files = fs::read_dir(format!("{FOLDER}/{folder}")).expect("a folder");
    let mut names: Vec<_> = files
        .map(|file| file.expect("a file").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let names = names(&format!("seeds/{target}"));
    assert!(names.len() >= 2, "{target} has seeds");
    let read = |name: &String| fs::read(format!("{FOLDER}/seeds/{target}/{name}")).expect("a seed");
    let all: Vec<_> = names.iter().map(read).collect();
    assert!(all.iter().all(|data| data.len() < 4096), "the seeds of {target} are small");
    all
}

/// The same numbers each time (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((mixed ^ (mixed >> 27)) % end.max(1) as u64) as usize
    }

    /// A seed with a few of its bytes otherwise, or a part of another one in it.
    fn mutant(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        const ODD: [&[u8]; 12] = [
            b"", b"\0", b"\n", b"\"", b"\\", b"\xff", b"{", b"[", b"-1", b"1e999", b"\\ud800",
            b"%00",
        ];
        let mut data = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(4) {
            let at = self.below(data.len() + 1);
            let end = (at + self.below(8)).min(data.len());
            match self.below(5) {
                0 if at < data.len() => data[at] ^= 1 << self.below(8),
                1 => drop(data.drain(at..end)),
                2 => data.insert(at, self.below(256) as u8),
                3 => drop(data.splice(at..end, ODD[self.below(ODD.len())].iter().copied())),
                _ => {
                    let other = &seeds[self.below(seeds.len())];
                    let from = self.below(other.len());
                    data.splice(at..end, other[from..].iter().copied());
                }
            }
        }
        data.truncate(8192);
        data
    }
}

/// The seeds, and some mutants of them: the same ones each time. `FUZZ_SECONDS` gives each target so
/// long, from numbers of its own, where nothing better is at hand; what does not hold is printed.
#[test]
fn every_seed_holds() {
    let longer = std::env::var("FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let begin = longer.map_or(0, |_: u64| u64::from(std::process::id()));
    for (target, entry) in entries::ALL {
        let (seeds, mut numbers) = (seeds(target), Numbers(begin));
        seeds.iter().for_each(|data| entry(data));
        let (start, mut tried) = (Instant::now(), 0);
        let time = longer.map(Duration::from_secs);
        while time.map_or(tried < 50, |time| start.elapsed() < time) {
            let data = numbers.mutant(&seeds);
            let held = std::panic::catch_unwind(|| entry(&data));
            assert!(held.is_ok(), "{target}: {:?}", String::from_utf8_lossy(&data));
            tried += 1;
        }
        println!("{target}: {tried} mutants");
    }
}

#[test]
fn every_entry_has_its_target_and_its_seeds() {
    let all: Vec<_> = entries::ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names("seeds"), all);
    let files: Vec<_> = all.iter().map(|name| format!("{name}.rs")).collect();
    assert_eq!(names("targets"), files);
    let manifest = fs::read_to_string(format!("{FOLDER}/Cargo.toml")).expect("a manifest");
    for name in all {
        assert!(manifest.contains(&format!("path = \"targets/{name}.rs\"")), "{name}");
        let target = fs::read_to_string(format!("{FOLDER}/targets/{name}.rs")).expect("a target");
        assert!(target.contains(&format!("entries::{name}(")), "{name}");
    }
}
