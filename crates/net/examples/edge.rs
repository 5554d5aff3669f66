//! The edge alone, without Node: `cargo run -p ironsluice-net --example edge -- CONFIG.json`.
//! Prints `ready PORT` of its first listener and runs until its standard input closes.

use std::io::Read;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: edge CONFIG.json")?;
    let config =
        gateway_core::config::parse(&std::fs::read_to_string(path)?).map_err(|faults| {
            faults
                .iter()
                .map(|f| f.to_string() + "\n")
                .collect::<String>()
        })?;
    let gateway = net::Gateway::start(config)?;
    let port = gateway.addresses().first().map_or(0, |(_, at)| at.port());
    println!("ready {port}");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    gateway.drain(std::time::Duration::from_secs(5));
    Ok(())
}
