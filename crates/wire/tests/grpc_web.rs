//! Properties of gRPC-Web's text, over frames and cuts that are generated. The seed is fixed.

use base64::engine::general_purpose::STANDARD;
use base64::Engine;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, RngSeed};
use wire::grpc_web::{TextReader, TextWriter};

const SEED: u64 = 0x5eed_0009;

fn config() -> Config {
    Config {
        cases: 1_000,
        rng_seed: RngSeed::Fixed(SEED),
        failure_persistence: None,
        ..Config::default()
    }
}

fn frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("small").to_be_bytes();
    [&[0], &length[..], message].concat()
}

/// The pieces between cuts, some of which are empty.
fn pieces<'a>(bytes: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|i| i.index(bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.windows(2).map(|w| &bytes[w[0]..w[1]]).collect()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn each_frame_is_the_text_of_itself_however_it_came(
        messages in vec(vec(any::<u8>(), 0..40), 0..6),
        cuts in vec(any::<Index>(), 0..12),
    ) {
        let frames: Vec<Vec<u8>> = messages.iter().map(|m| frame(m)).collect();
        let want: String = frames.iter().map(|f| STANDARD.encode(f)).collect();
        let whole = frames.concat();
        let (mut writer, mut text, mut came) = (TextWriter::default(), Vec::new(), 0);
        for piece in pieces(&whole, &cuts) {
            writer.push(piece, &mut text);
            came += piece.len();
            // Whatever frame has come whole has gone whole: nobody waits for the next.
            let (mut bytes, mut due) = (0, 0);
            for f in &frames {
                bytes += f.len();
                if bytes <= came {
                    due += STANDARD.encode(f).len();
                }
            }
            prop_assert!(text.len() >= due);
        }
        let before = text.len();
        writer.finish(&mut text);
        prop_assert_eq!(before, text.len());
        prop_assert_eq!(String::from_utf8(text).expect("text"), want);
    }

    #[test]
    fn a_frame_cut_short_loses_nothing(message in vec(any::<u8>(), 1..40), short in any::<Index>(), cuts in vec(any::<Index>(), 0..4)) {
        let whole = frame(&message);
        let part = &whole[..short.index(whole.len())];
        let (mut writer, mut text) = (TextWriter::default(), Vec::new());
        for piece in pieces(part, &cuts) {
            writer.push(piece, &mut text);
        }
        writer.finish(&mut text);
        prop_assert_eq!(String::from_utf8(text).expect("text"), STANDARD.encode(part));
    }

    #[test]
    fn text_of_any_pieces_is_read_in_any_pieces(
        parts in vec(vec(any::<u8>(), 0..40), 0..6),
        cuts in vec(any::<Index>(), 0..12),
    ) {
        let text: String = parts.iter().map(|p| STANDARD.encode(p)).collect();
        let (mut reader, mut bytes) = (TextReader::default(), Vec::new());
        for piece in pieces(text.as_bytes(), &cuts) {
            reader.push(piece, &mut bytes).expect("base64");
        }
        reader.finish().expect("an end");
        prop_assert_eq!(bytes, parts.concat());
    }

    #[test]
    fn the_verdict_on_any_text_does_not_depend_on_cuts(
        text in vec(proptest::sample::select(b"Aa9+/==-\n".to_vec()), 0..24),
        cuts in vec(any::<Index>(), 0..8),
    ) {
        let read = |cuts: &[Index]| {
            let (mut reader, mut out) = (TextReader::default(), Vec::new());
            pieces(&text, cuts)
                .into_iter()
                .try_for_each(|piece| reader.push(piece, &mut out))
                .and_then(|()| reader.finish())
                .map(|()| out)
        };
        prop_assert_eq!(read(&cuts), read(&[]));
    }
}
