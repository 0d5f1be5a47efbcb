# SPDX-License-Identifier: ISC
# What the manual tells people to type, for scripts that sourced lib.sh.
#
#   manual_commands PAGE SECTION    the commands of that section's literal displays (.Bd -literal), without
#                                   the "$ " before them; lines without it are output and left out
#   manual_run PAGE SECTION         runs them by sh -e in the current folder, each shown before
#
# PAGE is a file's name in contrib/man. A section without commands is an error.

manual_commands() {
	awk -v section="$2" '
		/^\.Sh / { here = $0 == ".Sh " section }
		/^\.Bd -literal/ { shown = here; next }
		/^\.Ed/ { shown = 0 }
		shown && sub(/^\$ /, "") { gsub(/\\-/, "-"); gsub(/\\e/, "\\"); print; more = /\\$/; next }
		shown && more && sub(/^> /, "") { gsub(/\\-/, "-"); gsub(/\\e/, "\\"); print; more = /\\$/ }
	' "$SOURCE/contrib/man/$1"
}

manual_run() {
	manual_commands "$1" "$2" >manual.commands &&
		test -s manual.commands &&
		sh -ex manual.commands
}
