//! Two ways to do one thing, timed in turns.
//!
//! A round times both, one right after the other, and the next round starts with the other one: a
//! machine that grows slower or is shared hits both alike. The result is the median of the rounds'
//! ratios, which one bad round does not move.

use std::sync::Barrier;
use std::time::{Duration, Instant};

/// Does the operation `n` times and says how long that took.
pub type Run<'a> = Box<dyn FnMut(u64) -> Duration + 'a>;

/// One row: an operation, ours and theirs.
pub struct Pair<'a> {
    /// Stable name of the row.
    pub name: &'static str,
    /// What we are compared with.
    pub rival: &'static str,
    /// Operations in one timing.
    pub batch: u64,
    /// Our way.
    pub ours: Run<'a>,
    /// Their way.
    pub theirs: Run<'a>,
}

/// Medians over the rounds.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Nanoseconds an operation (for several threads: of each thread).
    pub ours_ns: f64,
    /// The same for the rival.
    pub theirs_ns: f64,
    /// Median of ours / theirs: below 1 is faster than the rival.
    pub ratio: f64,
    /// Rounds measured.
    pub rounds: usize,
}

impl Pair<'_> {
    /// Runs one round to warm up, then `rounds` that count.
    pub fn measure(&mut self, rounds: usize) -> Row {
        let mut ours = Vec::with_capacity(rounds);
        let mut theirs = Vec::with_capacity(rounds);
        for round in 0..=rounds {
            let (a, b) = if round % 2 == 0 {
                let a = (self.ours)(self.batch);
                (a, (self.theirs)(self.batch))
            } else {
                let b = (self.theirs)(self.batch);
                ((self.ours)(self.batch), b)
            };
            if round > 0 {
                ours.push(a.as_nanos() as f64 / self.batch as f64);
                theirs.push(b.as_nanos() as f64 / self.batch as f64);
            }
        }
        let ratios = ours.iter().zip(&theirs).map(|(a, b)| a / b).collect();
        Row {
            ours_ns: median(ours),
            theirs_ns: median(theirs),
            ratio: median(ratios),
            rounds,
        }
    }
}

/// Times `n` operations on this thread.
pub fn alone<'a>(mut op: impl FnMut(u64) + 'a) -> Run<'a> {
    Box::new(move |n| {
        let start = Instant::now();
        for i in 0..n {
            op(i);
        }
        start.elapsed()
    })
}

/// Times `n` operations on each of `threads` threads at once: the mean of their times.
pub fn together<'a>(threads: u32, op: impl Fn(u64) + Sync + 'a) -> Run<'a> {
    Box::new(move |n| {
        let gate = Barrier::new(threads as usize);
        let run = |thread: u32| {
            gate.wait();
            let start = Instant::now();
            for i in 0..n {
                op(i.wrapping_add(u64::from(thread) << 32));
            }
            start.elapsed()
        };
        let total: Duration = std::thread::scope(|s| {
            let runs: Vec<_> = (0..threads)
                .map(|t| (t, &run))
                .map(|(t, run)| s.spawn(move || run(t)))
                .collect();
            runs.into_iter().filter_map(|run| run.join().ok()).sum()
        });
        total / threads
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => (values[n / 2 - 1] + values[n / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert!(median(vec![]).is_nan());
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn a_row_is_made_of_medians_and_every_other_round_starts_with_theirs() {
        use std::cell::RefCell;
        let order = RefCell::new(String::new());
        let ours = RefCell::new([9, 10, 10, 90].into_iter());
        let mut pair = Pair {
            name: "row",
            rival: "other",
            batch: 10,
            ours: Box::new(|_| {
                order.borrow_mut().push('o');
                Duration::from_nanos(ours.borrow_mut().next().expect("four rounds") * 10)
            }),
            theirs: Box::new(|_| {
                order.borrow_mut().push('t');
                Duration::from_nanos(200)
            }),
        };
        let row = pair.measure(3);
        drop(pair);
        assert_eq!(
            (row.ours_ns, row.theirs_ns, row.ratio, row.rounds),
            (10.0, 20.0, 0.5, 3)
        );
        assert_eq!(order.into_inner(), "ottootto");
    }

    #[test]
    fn threads_all_run() {
        let count = std::sync::atomic::AtomicU64::new(0);
        let mut run = together(3, |_| {
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        });
        let _ = run(5);
        drop(run);
        assert_eq!(count.into_inner(), 15);
    }
}
