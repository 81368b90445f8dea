//! Batches are read back from the spool unchanged, and damage is always detected.

use super::{batch, event};
use proptest::prelude::*;
use puypuy::delivery::codec;
use puypuy::model::point::{Batch, Kind, Point, Tags, Value};

/// Any possible point: hostile text, both number types, extreme values.
pub fn any_point() -> impl Strategy<Value = Point> {
    let number = prop_oneof![any::<i64>().prop_map(Value::Int), proptest::num::f64::NORMAL.prop_map(Value::Float)];
    let kind = prop_oneof![Just(Kind::Gauge), Just(Kind::Counter), Just(Kind::Rate), Just(Kind::Percent)];
    let tags = proptest::collection::vec((any::<String>(), any::<String>()), 0..5);
    (any::<String>(), number, kind, any::<i64>(), any::<String>(), tags, any::<Option<String>>(), any::<i8>()).prop_map(
        |(name, value, kind, time, check_type, tags, host, reaction)| Point {
            name: name.into(),
            value,
            kind,
            time,
            check_type: check_type.into(),
            tags: tags.into_iter().collect::<Tags>(),
            host: host.map(Into::into),
            reaction,
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(points in proptest::collection::vec(any_point(), 0..20), stored in any::<i64>()) {
        let batch = Batch { points, events: vec![event()] };
        let (header, back) = codec::read(&codec::write(&batch, stored)).unwrap();
        prop_assert_eq!(header.stored, stored);
        prop_assert_eq!(header.records as usize, batch.points.len() + 1);
        prop_assert_eq!(back, batch);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = codec::read(&bytes);
        let _ = codec::read_header(&bytes);
    }
}

#[test]
fn every_flipped_bit_and_every_truncation_is_detected() {
    let whole = codec::write(&batch(0..3), 1_500_000_000);
    for position in 0..whole.len() {
        for bit in 0..8 {
            let mut damaged = whole.clone();
            damaged[position] ^= 1 << bit;
            assert!(codec::read(&damaged).is_err(), "bit {bit} of byte {position}");
        }
        assert!(codec::read(&whole[..position]).is_err(), "cut at {position}");
    }
    let longer = [whole.as_slice(), b"x"].concat();
    assert!(codec::read(&longer).is_err());
}

#[test]
fn a_newer_version_is_distinguished_from_damage() {
    let mut newer = codec::write(&batch(0..1), 0);
    newer[4] = 9;
    assert_eq!(codec::read(&newer).unwrap_err(), "written by a newer version (9), this one reads up to 1");
}
