//! Reads a directory as an exporter does, for `benches/scrape.py`.
//!
//! `scrape text DIR` prints the exposition of several reads, which must agree. `scrape time DIR READERS READS`
//! prints one line per reader: the nanoseconds of its first read and of the later ones, each with encoding.
#![expect(
    clippy::print_stdout,
    reason = "the results are for the script that runs this"
)]

use std::error::Error;
use std::io::Write;
use std::time::Instant;

use forkmeter_core::encode::{Format, encode};
use forkmeter_shm::reader::DirectoryReader;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["text", directory] => text(directory),
        ["time", directory, readers, reads] => time(directory, readers.parse()?, reads.parse()?),
        _ => Err("usage: scrape text DIR | scrape time DIR READERS READS".into()),
    }
}

fn text(directory: &str) -> Result<(), Box<dyn Error>> {
    let mut reader = DirectoryReader::new(directory).with_mapped_files(true);
    let mut first = Vec::new();
    scrape(&mut reader, &mut first)?;
    // The second read makes maps, the third uses them.
    let mut again = Vec::new();
    for _ in 0..2 {
        scrape(&mut reader, &mut again)?;
        if first != again {
            return Err("a later read of the same files gave something else".into());
        }
    }
    std::io::stdout().write_all(&again)?;
    Ok(())
}

fn time(directory: &str, readers: usize, reads: usize) -> Result<(), Box<dyn Error>> {
    for _ in 0..readers {
        let mut out = Vec::new();
        let start = Instant::now();
        let mut reader = DirectoryReader::new(directory).with_mapped_files(true);
        scrape(&mut reader, &mut out)?;
        print!("{}", start.elapsed().as_nanos());
        for _ in 1..reads {
            let start = Instant::now();
            scrape(&mut reader, &mut out)?;
            print!(" {}", start.elapsed().as_nanos());
        }
        println!();
    }
    Ok(())
}

fn scrape(reader: &mut DirectoryReader, out: &mut Vec<u8>) -> Result<(), Box<dyn Error>> {
    out.clear();
    let view = reader.refresh();
    encode(
        view.families.iter().map(AsRef::as_ref),
        Format::Text004,
        out,
    )?;
    Ok(())
}
