//! What must hold of [`super::LeaseTable`].
