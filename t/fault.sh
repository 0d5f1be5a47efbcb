# SPDX-License-Identifier: ISC
# A token that misbehaves on command, for scripts that sourced lib.sh: the module of t/fault, around
# SoftHSM. t/fault/README says what it can be told, and what these functions do.

fault_setup() {
	. "$SOURCE/t/softhsm.sh" && softhsm_setup && fault_around "$SOFTHSM_MODULE" "SOFTHSM2_CONF=$SOFTHSM2_CONF"
}

# fault_around MODULE [NAME=VALUE...]: likewise, around any module.
fault_around() {
	CONSIGN_FAULT=$PWD/fault FAULT_MODULE=$BUILD/t/fault/consign-fault.so &&
		export CONSIGN_FAULT FAULT_MODULE &&
		mkdir -p "$CONSIGN_FAULT" && echo "$1" >"$CONSIGN_FAULT/module" && shift &&
		printf '%s\n' "$@" >"$CONSIGN_FAULT/environment" &&
		: >"$CONSIGN_FAULT/calls" && chmod 666 "$CONSIGN_FAULT/calls"
}

fault_mood() {
	for mood_; do
		printf '%010d %s\n' 0 "$mood_"
	done >"$CONSIGN_FAULT/control.new" &&
		chmod 666 "$CONSIGN_FAULT/control.new" &&
		mv "$CONSIGN_FAULT/control.new" "$CONSIGN_FAULT/control"
}

fault_met() {
	sed -n "${1}s/^0*\([0-9][0-9]*\) .*/\1/p" "$CONSIGN_FAULT/control"
}

fault_calls() {
	awk -v name="$1" -v outcome="$2" '
		$2 == name && (outcome == "" || $3 == outcome) { n++ }
		END { print n + 0 }
	' "$CONSIGN_FAULT/calls"
}

fault_forget() {
	: >"$CONSIGN_FAULT/calls"
}
