//! A second process: the same test file run again with an order, which the part of that name obeys
//! and every other run ignores. Its memory and its death are its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// A running second process; ended when it is dropped.
pub struct Second {
    child: Child,
}

impl Second {
    /// Starts the test called `part` with an order, and waits for the line that `said` wants.
    pub fn start<T>(part: &str, order: &str, said: impl Fn(&str) -> Option<T>) -> (Self, T) {
        let mut child = Command::new(std::env::current_exe().expect("this file"))
            .args(["--exact", "--nocapture", part])
            .env(ORDER, order)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a second process");
        let out = BufReader::new(child.stdout.take().expect("its output"));
        let mut lines = out.lines().map_while(Result::ok);
        let found = lines.find_map(|l| said(&l));
        let found = found.unwrap_or_else(|| panic!("{part} did not say what was expected"));
        (Self { child }, found)
    }

    /// What a second process is to do; none in the first.
    pub fn order() -> Option<String> {
        std::env::var(ORDER).ok()
    }

    /// Waits, in a second process, for its end.
    pub fn stay() {
        let _ends = std::io::stdin().read_line(&mut String::new());
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("gone");
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _ended = self.child.wait();
    }
}

const ORDER: &str = "IRONSLUICE_TEST_ORDER";
