#!/usr/bin/perl
# A random number, in Perl.
# Tells: random_perl.
# Needs: perl.
use strict;
use warnings;

printf "random_perl %d my_perl_random stack\n", rand 32768;
