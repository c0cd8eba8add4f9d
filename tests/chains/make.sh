#!/bin/sh
# Makes the certificates of tests/rust/chains.rs in the current directory: each NAME.crt with its NAME.key.
set -e
san=subjectAltName=DNS:localhost,IP:127.0.0.1
serve="$san
basicConstraints=CA:FALSE
extendedKeyUsage=serverAuth"
ca="basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign,cRLSign"
now=20240101000000Z
later=20990101000000Z

# key NAME: makes a key on P-256, unless the key exists.
key() { [ -f "$1.key" ] || openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key" 2>/dev/null || openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"; }

# made NAME ISSUER SUBJECT EXTENSIONS [FROM [UNTIL [DIGEST]]]: makes a certificate, self-signed if the issuer is the name
# itself.
made() {
	key "$1"
	openssl req -new -key "$1.key" -subj "$3" -out "$1.csr"
	[ "$2" = "$1" ] && cert="-selfsign -keyfile $1.key" || cert="-cert $2.crt -keyfile $2.key"
	printf '[ca]\ndefault_ca=d\n[d]\nnew_certs_dir=.\ndatabase=%s.txt\nrand_serial=yes\ndefault_md=%s\npolicy=p\nunique_subject=no\nx509_extensions=e\n[p]\ncommonName=supplied\n[e]\n%s\n' "$1" "${7:-sha256}" "$4" > "$1.cnf"
	: > "$1.txt"
	openssl ca -batch -notext -config "$1.cnf" $cert -in "$1.csr" -out "$1.crt" -startdate "${5:-$now}" -enddate "${6:-$later}"
}

# first NAME SUBJECT: makes a self-signed certificate of X.509 version 1.
first() {
	key "$1"
	openssl req -new -key "$1.key" -subj "$2" -out "$1.csr"
	openssl x509 -req -in "$1.csr" -signkey "$1.key" -days 30 -out "$1.crt"
}

made root root /CN=root "$ca"
made leaf root /CN=leaf "$serve"
made no-usage root /CN=no-usage "$san"
made inter root /CN=inter "$ca"
made below inter /CN=below "$serve"
made self self /CN=self "$serve"
made other other /CN=other "$serve
keyUsage=digitalSignature,keyCertSign"
made by-other other /CN=by-other "$serve"
both=$(echo "$ca" | sed s/keyCertSign/digitalSignature,keyCertSign/)
made ca-server ca-server /CN=ca-server "$both
$san"
made ca-server-below root /CN=ca-server-below "$both
$san"
made signer signer /CN=signer "$ca
$san"
made by-ca-server ca-server /CN=by-ca-server "$serve"
first v1 /CN=v1
made by-v1 v1 /CN=by-v1 "$serve"
first v1-server /CN=localhost
made old-root old-root /CN=old-root "$ca" 20200101000000Z 20210101000000Z
made by-old-root old-root /CN=by-old-root "$serve"
made old-inter root /CN=old-inter "$ca" 20200101000000Z 20210101000000Z
made by-old-inter old-inter /CN=by-old-inter "$serve"
made old root /CN=old "$serve" 20200101000000Z 20210101000000Z
made old-self old-self /CN=old-self "$serve" 20200101000000Z 20210101000000Z
made future root /CN=future "$serve" 20980101000000Z
client=$(echo "$serve" | sed s/serverAuth/clientAuth/)
made client root /CN=client "$client"
made client-self client-self /CN=client-self "$client"
made no-sign no-sign /CN=no-sign "basicConstraints=critical,CA:TRUE
keyUsage=critical,cRLSign"
made by-no-sign no-sign /CN=by-no-sign "$serve"
made no-sign-inter root /CN=no-sign-inter "basicConstraints=critical,CA:TRUE
keyUsage=critical,cRLSign"
made by-no-sign-inter no-sign-inter /CN=by-no-sign-inter "$serve"
made by-leaf leaf /CN=by-leaf "$serve"
made short short /CN=short "$(echo "$ca" | sed s/CA:TRUE/CA:TRUE,pathlen:0/)"
made by-short short /CN=by-short "$serve"
made short-inter short /CN=short-inter "$ca"
made by-short-inter short-inter /CN=by-short-inter "$serve"
made narrow narrow /CN=narrow "$ca
nameConstraints=critical,permitted;DNS:example.org"
made by-narrow narrow /CN=by-narrow "$serve"
made for-clients for-clients /CN=for-clients "$ca
extendedKeyUsage=clientAuth"
made by-for-clients for-clients /CN=by-for-clients "$serve"
made elsewhere root /CN=elsewhere subjectAltName=DNS:elsewhere.example.com
made common-name root /CN=localhost basicConstraints=CA:FALSE
made critical root /CN=critical "$serve
1.2.3.4.5=critical,ASN1:NULL"
made critical-self critical-self /CN=critical-self "$serve
1.2.3.4.5=critical,ASN1:NULL"
made sha1 root /CN=sha1 "$serve" "$now" "$later" sha1
openssl genrsa -out weak.key 1024
made weak weak /CN=weak "$ca"
made by-weak weak /CN=by-weak "$serve"
openssl ecparam -name secp521r1 -genkey -noout -out p521.key
made p521 p521 /CN=p521 "$ca"
made by-p521 p521 /CN=by-p521 "$serve"
made twin twin /CN=root "$ca"
openssl req -x509 -key weak.key -subj /CN=weak-server -addext "$san" -days 30 -out weak-server.crt
openssl req -x509 -key p521.key -subj /CN=p521-server -addext "$san" -days 30 -out p521-server.crt
openssl genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048 -out pss-server.key
openssl req -x509 -key pss-server.key -subj /CN=pss-server -addext "$san" -days 30 -out pss-server.crt
openssl genrsa -out rsa-server.key 2048
openssl req -x509 -key rsa-server.key -subj /CN=rsa-server -addext "$san" -days 30 -out rsa-server.crt
cp weak.key weak-server.key
cp p521.key p521-server.key
