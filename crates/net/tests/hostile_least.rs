//! Hostile upstreams, received byte for byte; clients through the least buffers.

mod hostile;
mod kit;

use std::sync::atomic::Ordering::Relaxed;

use kit::Pieces;
use net::counts;

#[test]
fn without_a_head_it_is_502_or_504() {
    least();
    hostile::without_a_head_it_is_502_or_504(Pieces::Whole);
}

#[test]
fn behind_a_head_it_is_an_abort_that_shows() {
    least();
    hostile::behind_a_head_it_is_an_abort_that_shows(Pieces::Whole);
}

#[test]
fn what_follows_a_whole_answer_reaches_nobody() {
    least();
    hostile::what_follows_a_whole_answer_reaches_nobody(Pieces::Whole);
}

#[test]
fn an_idle_connection_that_speaks_is_discarded() {
    least();
    hostile::an_idle_connection_that_speaks_is_discarded(Pieces::Whole);
}

#[test]
fn an_answer_before_its_request_harms_nobody_else() {
    least();
    hostile::an_answer_before_its_request_harms_nobody_else(Pieces::Whole);
}

#[test]
fn a_body_without_length_is_chunked_for_some_and_ends_with_the_connection_for_others() {
    least();
    hostile::a_body_without_length_is_chunked_for_some_and_ends_with_the_connection_for_others(
        Pieces::Whole,
    );
}

/// For all gateways of this process.
fn least() {
    counts::PIECE.store(1, Relaxed);
    counts::BUFFERS.store(1, Relaxed);
}
