#!/usr/bin/env bash
# Runs the tests of the given packages inside a cluster, as compiled outside by make kubernetes. Each runs in
# its package's directory. All are run even if some fail.
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
