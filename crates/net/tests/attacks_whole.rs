//! The table of attacks, each sent in one piece.

mod attacks;
mod kit;

use kit::Pieces;

#[test]
fn requests() {
    attacks::requests(Pieces::Whole);
}

#[test]
fn responses() {
    attacks::responses(Pieces::Whole);
}
