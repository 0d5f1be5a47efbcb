# SPDX-License-Identifier: ISC
# shellcheck shell=sh
# A server whose system calls fail on command: t/fault/disk.c. Sourced after lib.sh.
#
#   disk_setup                   before start_server: servers that are started from now on can be told
#   disk_fail CALL ERRNO [SKIP [TIMES]]  CALL fails with ERRNO (a name), after SKIP that do not, TIMES times
#   disk_well                    nothing fails
#   disk_met                     how many calls of that kind there were since

disk_setup() {
	DISK_FAULT=$PWD/disk.fault && head -c 64 /dev/zero >"$DISK_FAULT" && chmod 666 "$DISK_FAULT" && export DISK_FAULT &&
		LD_PRELOAD=$BUILD/t/fault/consign-disk.so && export LD_PRELOAD
}

disk_fail() {
	perl -MErrno -e '
		my ($file, $call, $name, $skip, $times) = @ARGV;
		my $errno = Errno->can($name)->();
		open my $f, "+<", $file or die;
		binmode $f;
		syswrite($f, pack("a16 l4", "", 0, 0, 0, 0)) == 32 or die;
		sysseek($f, 16, 0);
		syswrite($f, pack("l4", $errno, $skip, $times, 0));
		sysseek($f, 0, 0);
		syswrite($f, pack("a16", $call));
	' "$DISK_FAULT" "$1" "$2" "${3:-0}" "${4:-1}"
}

disk_well() {
	disk_fail none EIO
}

disk_met() {
	perl -e 'open my $f, "<", shift or die; sysseek($f, 28, 0); sysread($f, my $b, 4); print unpack("l", $b), "\n"' "$DISK_FAULT"
}
