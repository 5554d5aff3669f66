//! What must hold of [`super::KetamaRing`].

use super::*;
use proptest::prelude::*;

/// The servers of libketama's own example file, with its weights.
const SERVERS: [(&str, u32); 8] = [
    ("10.0.1.1:11211", 600),
    ("10.0.1.2:11211", 300),
    ("10.0.1.3:11211", 200),
    ("10.0.1.4:11211", 350),
    ("10.0.1.5:11211", 1_000),
    ("10.0.1.6:11211", 800),
    ("10.0.1.7:11211", 950),
    ("10.0.1.8:11211", 100),
];

fn nodes(n: usize) -> Vec<(String, u32)> {
    (0..n)
        .map(|i| (format!("10.0.{}.{}:11211", i / 256, i % 256), 1))
        .collect()
}

fn ring<N: AsRef<[u8]>>(nodes: &[(N, u32)]) -> KetamaRing {
    KetamaRing::new(nodes).expect("good nodes")
}

fn place(i: u64) -> u32 {
    KetamaRing::hash(&i.to_le_bytes())
}

/// Points by node.
fn shares(ring: &KetamaRing, nodes: usize) -> Vec<usize> {
    let mut count = vec![0; nodes];
    for owner in ring.owners() {
        count[owner] += 1;
    }
    count
}

fn sum(ring: &KetamaRing) -> u64 {
    let step = |sum: u64, &point: &u32| sum.wrapping_mul(31).wrapping_add(point.into());
    ring.points.iter().fold(0, step)
}

#[test]
fn bad_rings_are_refused() {
    let many = vec![("a", 1); KetamaRing::MAX_NODES + 1];
    type Nodes<'a> = &'a [(&'a str, u32)];
    let cases: [(Nodes, BadRing); 4] = [
        (&[], BadRing::NoNodes),
        (&[("a", 0)], BadRing::NoNodes),
        (&many, BadRing::TooManyNodes),
        (&[("b", 1), ("a", 1), ("b", 2)], BadRing::SameName(2)),
    ];
    for (nodes, why) in cases {
        assert_eq!(KetamaRing::new(nodes).err(), Some(why), "{why}");
    }
    assert_eq!(ring(&[("a", 1), ("a", 0)]).points(), 160, "0 is out");
}

#[test]
fn the_points_are_ketamas() {
    // Computed by Python's hashlib and struct: the points in order, folded with 31.
    let r = ring(&SERVERS);
    assert_eq!(shares(&r, 8), [176, 88, 56, 104, 296, 236, 280, 28]);
    assert_eq!(r.points[..3], [762_113, 2_322_555, 3_967_256]);
    assert_eq!(r.points[r.points() - 2..], [4_290_842_419, 4_293_620_028]);
    assert_eq!(sum(&r), 0x991c_c77d_0153_e4e5);
    let four: Vec<_> = (1..5)
        .map(|i| (format!("192.168.1.10{i}:11210"), 1))
        .collect();
    let even = ring(&four);
    assert_eq!((even.points(), sum(&even)), (640, 0x71e4_3c7a_79de_ab5a));
    let cases = [
        ("", 3_649_838_548, 3, 3),
        ("a", 3_111_502_092, 7, 3),
        ("user:1", 282_964_413, 6, 0),
        ("user:2", 3_264_788_475, 0, 2),
        ("/index.html", 1_936_544_977, 4, 1),
        ("12936", 3_769_287_096, 6, 0),
        ("ünï", 1_873_166_642, 0, 2),
        ("foo", 3_675_831_724, 6, 2),
        ("bar", 421_377_335, 5, 3),
        ("baz", 2_768_240_243, 1, 2),
    ];
    for (key, place, weighted, plain) in cases {
        assert_eq!(KetamaRing::hash(key.as_bytes()), place, "{key}");
        assert_eq!(
            (r.pick(place), even.pick(place)),
            (weighted, plain),
            "{key}"
        );
    }
}

#[test]
fn the_ring_is_closed() {
    let r = ring(&SERVERS);
    let first = r.owners[0] as usize;
    assert_eq!(r.pick(0), first);
    assert_eq!(r.pick(u32::MAX), first, "behind the last point");
    for (i, &point) in r.points.iter().enumerate() {
        assert_eq!(r.first(point), i, "a point is its own");
        assert_eq!(r.first(point.wrapping_add(1)), (i + 1) % r.points());
    }
}

#[test]
fn equal_nodes_have_160_points_but_for_libketamas_floats() {
    for n in 1..=KetamaRing::MAX_NODES {
        // 40 * 61 * (1/61), each rounded to a float, is below 40.
        let rounds = rounds(1, n as u64, n);
        assert!(rounds == 40 || (rounds == 39 && n >= 61), "{n}: {rounds}");
    }
    assert_eq!(ring(&nodes(60)).points(), 60 * 160);
    assert_eq!(ring(&nodes(61)).points(), 61 * 156);
}

#[test]
fn keys_land_by_weight() {
    let r = ring(&SERVERS);
    let total: u32 = SERVERS.iter().map(|s| s.1).sum();
    let mut count = [0u32; 8];
    for i in 0..100_000 {
        count[r.pick(place(i))] += 1;
    }
    for (count, (name, weight)) in count.into_iter().zip(SERVERS) {
        let ratio = f64::from(count) / 100_000.0 * f64::from(total) / f64::from(weight);
        // 28 points are the fewest: a standard deviation of a fifth.
        assert!((0.5..1.5).contains(&ratio), "{name}: {ratio}");
    }
}

#[test]
fn a_lost_nodes_keys_spread() {
    let r = ring(&nodes(10));
    let mut heirs = [0; 10];
    for i in (0..100_000).filter(|&i| r.pick(place(i)) == 3) {
        heirs[r.pick_where(place(i), |n| n != 3).expect("nine nodes")] += 1;
    }
    assert_eq!(heirs[3], 0);
    assert_eq!(heirs.iter().filter(|&&h| h > 300).count(), 9, "{heirs:?}");
    assert_eq!(r.pick_where(1, |_| false), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn only_keys_of_a_node_that_goes_move(n in 2usize..40, gone in any::<prop::sample::Index>()) {
        let all = nodes(n);
        let gone = gone.index(n);
        let mut rest = all.clone();
        rest.remove(gone);
        let (before, after) = (ring(&all), ring(&rest));
        for i in 0..1_000 {
            let (was, is) = (before.pick(place(i)), after.pick(place(i)));
            if was != gone {
                prop_assert_eq!(&all[was].0, &rest[is].0);
            }
            let skipped = before.pick_where(place(i), |node| node != gone).expect("others");
            prop_assert_eq!(&all[skipped].0, &rest[is].0, "skipped as if never there");
        }
    }

    #[test]
    fn the_order_of_nodes_is_nothing(weights in prop::collection::vec(0u32..5, 2..20), turn in 1usize..20) {
        prop_assume!(weights.iter().any(|&w| w > 0));
        let list: Vec<_> = nodes(weights.len()).into_iter().zip(weights).map(|(n, w)| (n.0, w)).collect();
        let mut other = list.clone();
        other.rotate_left(turn % list.len());
        let (a, b) = (ring(&list), ring(&other));
        for i in 0..500 {
            prop_assert_eq!(&list[a.pick(place(i))].0, &other[b.pick(place(i))].0);
        }
    }

    #[test]
    fn the_index_finds_what_a_search_does(places in prop::collection::vec(any::<u32>(), 100), n in 1usize..100) {
        let r = ring(&nodes(n));
        for place in places {
            let at = r.points.partition_point(|&point| point < place) % r.points();
            prop_assert_eq!(r.first(place), at);
        }
    }
}
