#!/usr/bin/perl
# SPDX-License-Identifier: ISC
# t/confine.pl common/confine.def contrib/man/consignd.8
#
# Prints the manual with its table of processes and its lists of system calls as common/confine.def has them. They stand
# between the lines `.\" confine.def: NAME` and `.\" confine.def: end`.
use strict;
use warnings;

my ($def, $manual) = @ARGV;
my (@groups, @processes, %title, %calls, $table);

open my $in, '<', $def or die "$def: $!\n";
while (<$in>) {
	if (/^PROCESS\((\w+), (\w+), (\d+), (\d+), (\w+), (\w+), "(.*?)", "(.*?)", "(.*?)"\)/) {
		push @processes, $1;
		$title{$1} = $2;
		$table .= ".It $2\nruns as: $7; files: $8; network: $9;\nmemory: "
			. ($3 ? "$3 MiB" : '-') . '; descriptors: ' . ($4 || '-') . "; starts: \L$5; other calls: \L$6\n";
	} elsif (/^GROUP\((\w+), (\w+), (.*)\)$/) {
		my ($group, $name, $who) = ($1, $2, $3);
		my @members = map { lc } $who =~ /WHO_(\w+)/g;
		push @groups, $group;
		$title{$group} = join ' ', $name, @members ? (':', join ' , ', @members) : ();
	} elsif (/^CALL\((\w+), (\w+),/) {
		$calls{$1}{$2} = 1;
	} elsif (/^[A-Z]/) {
		die "$def: a row that is not understood: $_";
	}
}

# Names with commas between, in lines of a hundred.
sub list {
	my @names = sort @_;
	my ($text, $line) = ('', '.Li');
	while (defined(my $name = shift @names)) {
		my $more = " $name" . (@names ? ' ,' : '');
		if (length($line) + length($more) > 100) {
			$text .= "$line\n";
			$line = '.Li';
		}
		$line .= $more;
	}
	return "$text$line\n";
}

my %block = (
	processes => $table,
	calls => join('', map { ".It $title{$_}\n" . list(keys %{ $calls{$_} }) } grep { $calls{$_} } @groups, @processes),
);

open $in, '<', $manual or die "$manual: $!\n";
my $inside = '';
while (<$in>) {
	$inside = '' if /^\.\\" confine\.def: end/;
	print unless $inside;
	next unless /^\.\\" confine\.def: (\w+)$/ && $1 ne 'end';
	$inside = $1;
	print $block{$inside} // die "$manual: no block $inside\n";
}
