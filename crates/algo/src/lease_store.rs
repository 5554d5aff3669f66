//! What the store does for an ask of a [`crate::Lease`]: the steps of its script, for simulations and to test the script.

/// A key in the store: its TAT in nanoseconds by the store's clock, if it has the key.
///
/// `arguments` are those of [`crate::Lease::arguments`]; the reply is what was granted, how far the TAT is ahead (µs,
/// rounded up), and until `least` would fit (µs, rounded up; 0 if it was granted or nothing was wanted).
pub fn store_gcra(tat: &mut Option<i64>, now_us: i64, arguments: [i64; 7]) -> [i64; 3] {
    let [interval, burst, slack_us, least, most, charge, debts] = arguments;
    let now = now_us * US;
    let capacity = burst * interval + slack_us * US;
    // Further ahead than that is the TAT of a clock that was set back since.
    let furthest = capacity + debts * interval;
    let seen = tat.map_or(0, |tat| (tat - now).clamp(0, furthest));
    let charged = seen + charge * interval;
    let fits = ((capacity - charged) / interval).clamp(0, most);
    let granted = if fits < least { 0 } else { fits };
    let ahead = charged + granted * interval;
    if charge + granted > 0 {
        *tat = Some(now + ahead);
    }
    let retry_after = match most > 0 && granted == 0 {
        true => ahead + least * interval - capacity,
        false => 0,
    };
    [granted, up(ahead), up(retry_after)]
}

const fn up(ns: i64) -> i64 {
    (ns + US - 1) / US
}

const US: i64 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    const T: i64 = 100 * 1000 * US;

    #[test]
    fn the_steps() {
        // 10/s, burst 5, debts of at most 4. Before (µs ahead), least, most, charge: granted, after, retry.
        for (before, least, most, charge, granted, after, retry) in [
            (None, 1, 3, 0, 3, 300_000, 0),
            (None, 1, 9, 0, 5, 500_000, 0),
            (Some(450_000), 1, 9, 0, 0, 450_000, 50_000),
            (Some(300_000), 3, 9, 0, 0, 300_000, 100_000),
            (Some(300_000), 1, 9, 2, 0, 500_000, 100_000),
            (Some(500_000), 0, 0, 2, 0, 700_000, 0),
            (Some(-7), 0, 0, 0, 0, 0, 0),
            (Some(3_600_000_000), 1, 1, 0, 0, 900_000, 500_000),
        ] {
            let now = 7_000_000;
            let mut tat = before.map(|us: i64| (now + us) * US);
            let got = store_gcra(&mut tat, now, [T, 5, 0, least, most, charge, 4]);
            assert_eq!(
                got,
                [granted, after, retry],
                "{before:?} {least} {most} {charge}"
            );
            let written = before.filter(|_| granted + charge == 0).unwrap_or(after);
            let empty = before.is_none() && granted + charge == 0;
            assert_eq!(tat, (!empty).then_some((now + written) * US), "{before:?}");
        }
    }
}
