#!/bin/sh
# Label the new partitions; stop what comes after them if there are alarms, or if the job fails.
#   gate.sh METRICS LABELLED MODELS [options of genias nightly]
# In a crontab, with one run at a time, and mail from cron when it writes something:
#   0 2 * * *  flock -n /tmp/genias.lock gate.sh /data/metrics /data/labelled /data/models.parquet
genias nightly "$@" --by host --order-by timestamp --quiet --fail-if-alarms 1 > "${2%/}.log"
case $? in
    0) exit 0 ;;
    3) echo "genias nightly: alarms" && cat "${2%/}.log"; exit 3 ;;
    *) echo "genias nightly failed, see above" >&2; exit 1 ;;
esac
