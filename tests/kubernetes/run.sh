#!/usr/bin/env bash
# Runs inside a cluster what make kubernetes compiled outside: the tests of the packages given, each in
# its package's directory. All are run, whatever fails.
set -uo pipefail
programs=$PWD/$1
shift
status=0
for package; do
	name=${package#./}
	echo "== $package"
	(cd "$package" && "$programs/${name//\//-}.test" -test.timeout 10m -test.parallel 8 ${TESTFLAGS-}) || status=1
done
exit $status
