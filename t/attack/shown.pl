#!/usr/bin/perl
# SPDX-License-Identifier: ISC
# shown.pl FILE...: fails, naming the line, where a file has anything that a terminal would obey, or that turns what is read: control
# characters of either kind but for the end of a line, separators, marks of direction, bytes that are no UTF-8.
use strict;
use warnings;
use Encode;

my $bad = 0;
for my $file (@ARGV) {
	open my $in, "<:raw", $file or die "$file: $!\n";
	while (my $line = <$in>) {
		my $text = eval { decode("UTF-8", my $copy = $line, Encode::FB_CROAK) };
		next if defined $text && $text =~ s/\n\z//r !~ /[\p{Cc}\x{2028}\x{2029}\x{61c}\x{200e}\x{200f}\x{202a}-\x{202e}\x{2066}-\x{2069}]/;
		print "$file:$.: ", $line =~ s/([^ -~])/sprintf "\\x%02x", ord $1/ger, "\n";
		$bad = 1;
	}
}
exit $bad;
