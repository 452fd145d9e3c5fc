#include "receiver/net/certificate.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

static int64_t
time_of(const ASN1_TIME *when)
{
	struct tm parts;
	return ASN1_TIME_to_tm(when, &parts) == 1 ? (int64_t)timegm(&parts) * NS_PER_S : 0;
}

/* Its time is judged by who asks: one that has ended has a chain all the same. */
static void
judge_chain(X509 *leaf, STACK_OF(X509) * chain, struct certificate *ret)
{
	X509_STORE *roots = X509_STORE_new();
	X509_STORE_CTX *context = X509_STORE_CTX_new();
	ALWAYS(roots != NULL && context != NULL, "certificate-store");
	(void)X509_STORE_set_default_paths(roots);
	(void)X509_STORE_set_flags(roots, X509_V_FLAG_NO_CHECK_TIME);
	ret->distrust[0] = '\0';
	if (X509_STORE_CTX_init(context, roots, leaf, chain) != 1) {
		(void)snprintf(ret->distrust, sizeof(ret->distrust), "it cannot be judged");
	} else {
		(void)X509_STORE_CTX_set_purpose(context, X509_PURPOSE_SSL_SERVER);
		if (X509_verify_cert(context) != 1) {
			(void)snprintf(ret->distrust, sizeof(ret->distrust), "%s",
			               X509_verify_cert_error_string(
					       X509_STORE_CTX_get_error(context)));
		}
	}
	X509_STORE_CTX_free(context);
	X509_STORE_free(roots);
	ERR_clear_error();
}

static void
look_at_names(X509 *leaf, struct certificate *ret)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
	ret->has_names = names != NULL && sk_GENERAL_NAME_num(names) > 0;
	GENERAL_NAMES_free(names);
	(void)X509_NAME_oneline(X509_get_subject_name(leaf), ret->name, sizeof(ret->name));
}

bool
certificate_look(const char *file, struct certificate *ret, struct error *err)
{
	BIO *in = BIO_new_file(file, "r");
	X509 *leaf = in == NULL ? NULL : PEM_read_bio_X509_AUX(in, NULL, NULL, NULL);
	STACK_OF(X509) *chain = sk_X509_new_null();
	if (leaf == NULL || chain == NULL) {
		X509_free(leaf);
		sk_X509_free(chain);
		BIO_free(in);
		ERR_clear_error();
		return error_set(err, ERROR_INVALID, "%s: no certificate can be read there", file);
	}
	memset(ret, 0, sizeof(*ret));
	ret->begins_ns = time_of(X509_get0_notBefore(leaf));
	ret->ends_ns = time_of(X509_get0_notAfter(leaf));
	X509 *next;
	while ((next = PEM_read_bio_X509(in, NULL, NULL, NULL)) != NULL) {
		int64_t ends_ns = time_of(X509_get0_notAfter(next));
		ret->ends_ns = ends_ns < ret->ends_ns ? ends_ns : ret->ends_ns;
		ALWAYS(sk_X509_push(chain, next) > 0, "certificate-chain");
	}
	BIO_free(in);
	ret->self_signed = X509_self_signed(leaf, 0) == 1;
	look_at_names(leaf, ret);
	judge_chain(leaf, chain, ret);
	sk_X509_pop_free(chain, X509_free);
	X509_free(leaf);
	return true;
}
