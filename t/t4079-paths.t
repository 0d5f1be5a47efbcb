#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='one module opens files, by descriptors and single names; where the kernel has no openat2, as strictly'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"
# shellcheck source=t/attack.sh
. "$SOURCE/t/attack.sh"

# ---- what the objects call ----

# Calls that take a path from where a process stands, or follow the last name's link.
BY_PATH='open|open64|__open_2|__open64_2|creat|creat64|fopen|fopen64|freopen|opendir|scandir|glob|ftw|nftw|stat|stat64|lstat|lstat64|rename|unlink
rmdir|remove|link|symlink|readlink|realpath|mkdir|mknod|mkfifo|chmod|chown|lchown|truncate|truncate64|access|faccessat|eaccess|utime|utimes|lutimes
utimensat|futimesat|fchmodat|fchownat|statx|statfs|statfs64|statvfs|statvfs64|getxattr|lgetxattr|setxattr|lsetxattr|listxattr|llistxattr|removexattr
chdir|fchdir|chroot|tempnam|mkstemp|mkostemp|mkdtemp|tmpfile|system|popen|posix_spawn|posix_spawnp|execv|execve|execvp|execl|execlp|mount|umount
name_to_handle_at|open_by_handle_at|bind|connect'
# The same by descriptor and name.
BY_NAME='openat|openat64|__openat_2|__openat64_2|fstatat|fstatat64|renameat|renameat2|unlinkat|linkat|symlinkat|readlinkat|mkdirat|mknodat|mkfifoat'

# calls LIST OBJECT...: "OBJECT CALL" for each of these that an object calls.
calls() {
	list_=$(echo "$1" | tr '\n' '|') && shift
	for object_ in "$@"; do
		nm -u "$BUILD/obj/$object_" | awk -v list="${list_%|}" -v name="$object_" '
			BEGIN { n = split(list, a, "|"); for (i = 1; i <= n; i++) is[a[i]] = 1 }
			{ sub(/@.*/, "", $2) } is[$2] { print name, $2 }'
	done
}

objects() { (cd "$BUILD/obj" && ls $1); }

# all FILE PATTERN: every line of the file fits.
all() { ! grep -v -e "$2" "$1"; }

test_expect_success 'there is something to look at' '
	objects "common/fs*.o" >fs && test "$(wc -l <fs)" -ge 15 && calls "$BY_NAME" $(cat fs) | grep "fs_resolve.o .*openat" &&
	calls "$BY_PATH" common/conf.o | grep open
'

test_expect_success 'what works on users'"'"' files calls nothing by path, but to open a root' '
	calls "$BY_PATH" $(cat fs) common/walk.o common/part.o common/part_header.o common/meta.o common/old.o common/recv.o common/recv_frame.o common/recv_work.o \
		common/send.o common/send_chunk.o common/send_answer.o $(objects "server/store*.o server/files*.o server/requests*.o server/session.o") >found &&
	grep "^common/fs.o " found && all found "^common/fs.o open\(64\|\)$\|^common/fs.o __open_2$"
'

test_expect_success 'in store and session it is the module fs that works with names' '
	calls "$BY_NAME" $(objects "server/store*.o server/files*.o server/requests*.o server/session.o common/part.o common/part_*.o common/meta.o common/old.o common/recv*.o common/send*.o") \
		>found && test ! -s found
'

# source_of CALL FILES...: the calls of that in the source, whole, one a line, without comments.
source_of() {
	pattern_=$1 && shift
	(cd "$SOURCE" && perl -0777 -ne '
		BEGIN { $pattern = shift; @ARGV = map { glob } @ARGV }
		s{/\*.*?\*/}{}gs;
		while (/(?<![\w>.])($pattern)(\((?:[^()]|(?2))*\))/g) { my $c = "$1$2"; $c =~ s/\s+/ /g; print "$ARGV: $c\n" }' "$pattern_" "$@")
}

test_expect_success 'no name is followed through a link' '
	source_of "openat" "common/fs*.c" >opens && test "$(wc -l <opens)" -ge 6 && all opens "FS_LEAF\|FS_FOLDER" &&
	source_of "fstatat" "common/fs*.c" >stats && test "$(wc -l <stats)" -ge 15 && all stats AT_SYMLINK_NOFOLLOW &&
	source_of "linkat" "common/fs*.c" >links && grep . links && all links ", 0)" &&
	grep -E "^#define FS_(LEAF|FOLDER) .*O_NOFOLLOW.*O_CLOEXEC" "$SOURCE/common/fs_internal.h" >flags && test "$(wc -l <flags)" = 2 &&
	grep -l SYS_openat2 "$SOURCE"/*/*.c >who && test "$(cat who)" = "$SOURCE/common/fs_resolve.c" &&
	tr -s " \n" " " <"$SOURCE/common/fs_resolve.c" | grep "RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS"
'

# ---- without openat2 ----

CALL=437

test_expect_success 'a server and clients for which there is no openat2' '
	mkdir bin && for program in consignd consign; do
		printf "#!/bin/sh\nexec python3 \"%s\" %s \"%s\" \"\$@\"\n" "$SOURCE/t/attack/without.py" $CALL "$BUILD/$program" >bin/$program &&
		chmod +x bin/$program || return 1
	done &&
	python3 "$SOURCE/t/attack/without.py" $CALL true &&
	attack_site && PATH=$TRASH/bin:$PATH start_server
'

test_expect_success 'it serves as ever' '
	PATH=$TRASH/bin:$PATH && random_file large 3000000 && mkdir -p tree/a/b && echo x >tree/a/b/x && consign -q put large alice:/large &&
	consign -q put -r tree alice:/tree && consign -q get -r alice:/tree back && diff -r tree back && consign -q get alice:/large got &&
	same_file large got && consign verify large alice:/large
'

test_expect_success 'names are refused as ever' 'attack names.py "$TRASH/files/alice"'

test_expect_success 'and so is what is planted' '
	rm -rf files/alice/* && attack planted.py "$TRASH/files/alice" "$TRASH/canary" "$ACCOUNT" && test "$(cat canary/secret)" = "a stranger'"'"'s"
'

test_expect_success 'and no race is lost' '
	rm -rf files/alice/* && attack race.py "$TRASH/files/alice" "$TRASH/canary" 2 "$ACCOUNT"
'

test_expect_success 'the server serves on, and nothing of it died' 'serves && nothing_died'

test_done
