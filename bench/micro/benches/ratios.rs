//! Prints the table of ratios, or with `--json` an object a line:
//! `{"name","rival","ours_ns","theirs_ns","ratio","rounds"}`. Arguments: `--rounds N` (default 15),
//! and any part of a row's name to run only those.

use bench_micro::{balance, hashing, limits};

fn main() {
    let mut json = false;
    let mut rounds = 15;
    let mut wanted: Option<String> = None;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--json" => json = true,
            // What cargo itself adds.
            "--bench" => {}
            "--rounds" => match args.next().and_then(|n| n.parse().ok()) {
                Some(n) if n > 0 => rounds = n,
                _ => usage("--rounds needs a number above 0"),
            },
            flag if flag.starts_with('-') => usage(&format!("{flag} is no option")),
            part => wanted = Some(part.to_owned()),
        }
    }

    if !json {
        println!(
            "{:<30}{:<14}{:>12}{:>12}{:>8}",
            "operation", "beside", "ours ns", "theirs ns", "ratio"
        );
    }
    for mut pair in limits::pairs()
        .into_iter()
        .chain(balance::pairs())
        .chain(hashing::pairs())
    {
        if wanted
            .as_ref()
            .is_some_and(|part| !pair.name.contains(part.as_str()))
        {
            continue;
        }
        let row = pair.measure(rounds);
        let (name, rival) = (pair.name, pair.rival);
        if json {
            println!(
                r#"{{"name":"{name}","rival":"{rival}","ours_ns":{:.2},"theirs_ns":{:.2},"ratio":{:.4},"rounds":{}}}"#,
                row.ours_ns, row.theirs_ns, row.ratio, row.rounds
            );
        } else {
            println!(
                "{name:<30}{rival:<14}{:>12.1}{:>12.1}{:>8.3}",
                row.ours_ns, row.theirs_ns, row.ratio
            );
        }
    }
}

fn usage(why: &str) -> ! {
    eprintln!("ratios: {why}\nusage: ratios [--json] [--rounds N] [NAME]");
    std::process::exit(2);
}
