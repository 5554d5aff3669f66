//! Hostile upstreams that send in random pieces.

mod hostile;
mod kit;

use kit::Pieces;

#[test]
fn without_a_head_it_is_502_or_504() {
    hostile::without_a_head_it_is_502_or_504(Pieces::Random(SEED));
}

#[test]
fn behind_a_head_it_is_an_abort_that_shows() {
    hostile::behind_a_head_it_is_an_abort_that_shows(Pieces::Random(SEED));
}

#[test]
fn what_follows_a_whole_answer_reaches_nobody() {
    hostile::what_follows_a_whole_answer_reaches_nobody(Pieces::Random(SEED));
}

#[test]
fn an_idle_connection_that_speaks_is_discarded() {
    hostile::an_idle_connection_that_speaks_is_discarded(Pieces::Random(SEED));
}

#[test]
fn an_answer_before_its_request_harms_nobody_else() {
    hostile::an_answer_before_its_request_harms_nobody_else(Pieces::Random(SEED));
}

#[test]
fn a_body_without_length_is_chunked_for_some_and_ends_with_the_connection_for_others() {
    hostile::a_body_without_length_is_chunked_for_some_and_ends_with_the_connection_for_others(
        Pieces::Random(SEED),
    );
}

const SEED: u64 = 0x5eed_0004;
