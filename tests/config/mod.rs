//! Configuration: ini text as Python reads it, settings and their mistakes, and the commands that look it over.

mod every_mistake;
mod ini;
mod mistakes;
mod python;
mod secrets;
mod shipped;
mod switches;
