//! `cargo run -p bench-leases [FOLDER]`: simulates the scenes of the figures and writes `FOLDER/*.svg`, by default
//! `bench/results/lease`. The same on every machine.

use std::error::Error;
use std::path::PathBuf;

use bench_leases::figures;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| figures::folder().into());
    std::fs::create_dir_all(&folder)?;
    for figure in figures::all() {
        let path = folder.join(figure.name).with_extension("svg");
        std::fs::write(&path, figure.svg()?)?;
        println!("{}", path.display());
        for curve in figure.curves {
            println!("  {}: {:?}", curve.name, curve.points);
        }
    }
    Ok(())
}
