//! What stored values leave out.

/// Whether a value is the one that it has where it is not stored: the checksum of a model from before the
/// value existed holds only if it is left out again.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
