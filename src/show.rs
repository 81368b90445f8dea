//! `puypuy show`: what the local store holds, for people.
