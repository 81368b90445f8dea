#!/bin/sh
# Days until certificates expire; less than nothing when they have.
# Tells: certificate_days_left with the tag file.
# Needs: openssl, and the right to read the files. Copy it into scripts_enabled and name your own files here.
FILES="/etc/letsencrypt/live/*/cert.pem /etc/ssl/private/*.crt"

now=$(date +%s)
for file in $FILES; do
    [ -r "$file" ] || continue
    end=$(openssl x509 -noout -enddate -in "$file") || continue
    end=$(date -d "${end#notAfter=}" +%s) || continue
    echo "certificate_days_left $(((end - now) / 86400)) certificate stack file=$file"
done
