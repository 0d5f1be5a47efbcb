# SPDX-License-Identifier: ISC
# A private SoftHSM in the trash folder, for scripts that sourced lib.sh. Nothing of the host's tokens is
# seen or touched.
#
#   softhsm_setup          $SOFTHSM2_CONF, $SOFTHSM_MODULE and PIN files in the current folder: pin, so-pin,
#                          wrong-pin ($SOFTHSM_PIN_FILE, $SOFTHSM_SO_PIN_FILE, $SOFTHSM_WRONG_PIN_FILE)
#   softhsm_token LABEL    a token with these PINs
#   softhsm_objects LABEL  what is in it, one URL a line, sorted
#
# Where SoftHSM is not installed the whole script is skipped.

softhsm_find() {
	for softhsm_at in /usr/lib/softhsm/libsofthsm2.so /usr/lib/*/softhsm/libsofthsm2.so; do
		if test -r "$softhsm_at"; then
			echo "$softhsm_at"
			return 0
		fi
	done
	return 1
}

softhsm_setup() {
	if ! SOFTHSM_MODULE=$(softhsm_find) || ! command -v softhsm2-util >/dev/null; then
		lacking "SoftHSM is not installed"
	fi
	mkdir -p "$PWD/softhsm/tokens" &&
		cat >"$PWD/softhsm/softhsm2.conf" <<-EOF &&
			directories.tokendir = $PWD/softhsm/tokens
			objectstore.backend = file
			library.reset_on_fork = true
			log.level = ERROR
		EOF
		(
			umask 077 &&
				echo "2468" >pin &&
				echo "13579" >so-pin &&
				echo "9999" >wrong-pin
		) &&
		SOFTHSM2_CONF=$PWD/softhsm/softhsm2.conf &&
		SOFTHSM_PIN_FILE=$PWD/pin SOFTHSM_SO_PIN_FILE=$PWD/so-pin &&
		SOFTHSM_WRONG_PIN_FILE=$PWD/wrong-pin &&
		export SOFTHSM2_CONF SOFTHSM_MODULE SOFTHSM_PIN_FILE SOFTHSM_SO_PIN_FILE \
			SOFTHSM_WRONG_PIN_FILE
}

softhsm_token() {
	softhsm2-util --init-token --free --label "$1" --pin 2468 --so-pin 13579 >/dev/null
}

softhsm_objects() {
	GNUTLS_PIN=2468 p11tool --provider "$SOFTHSM_MODULE" --login --list-all --only-urls \
		"pkcs11:token=$1" 2>/dev/null | sort
}
