//! Configuration: ini text as Python reads it, settings and their mistakes, and the commands around them.

mod discover;
mod every_mistake;
mod ini;
mod masking;
mod migrate;
mod mistakes;
mod python;
mod secrets;
mod shipped;
mod switches;
mod words;
